import Glibc

/// Called by libFuzzer for every input; `FUZZ` in the environment names the target, `list` prints their names.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    unsafe chosen(RawSpan(_unsafeStart: start, byteCount: count))
    return 0
}

/// The target that is run.
private let chosen: @Sendable (RawSpan) -> Void = {
    let name = unsafe getenv("FUZZ").map { unsafe String(cString: $0) } ?? "list"
    if let target = targets.first(where: { $0.name == name }) { return target.run }
    for target in targets { print("target \(target.name)") }
    fflush(nil)
    // Not `exit`, which libFuzzer takes for a crash.
    _exit(name == "list" ? 0 : 2)
}()

internal import CFuzzer
internal import Glibc

/// Fuzzes the target that the variable `FUZZ` names; `list` prints the names of all.
@main
enum Entry {
    static func main() {
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>! = unsafe CommandLine.unsafeArgv
        let status = unsafe LLVMFuzzerRunDriver(&count, &arguments) { start, count in
            unsafe chosen(RawSpan(_unsafeStart: UnsafeRawPointer(start!), byteCount: count))
            return 0
        }
        exit(status)
    }
}

/// The target to run.
private let chosen: @Sendable (RawSpan) -> Void = {
    let name = unsafe getenv("FUZZ").map { unsafe String(cString: $0) } ?? "list"
    if let target = targets.first(where: { $0.name == name }) { return target.run }
    for target in targets { print("target \(target.name)") }
    fflush(nil)
    // libFuzzer takes `exit` for a crash.
    _exit(name == "list" ? 0 : 2)
}()

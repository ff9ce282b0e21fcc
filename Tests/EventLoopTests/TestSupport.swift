import Glibc
import Testing

@testable import EventLoop

/// Runs `loop` until `done` holds; the test fails after `seconds`.
func run(_ loop: Loop, seconds: UInt64 = 60, until done: @escaping () -> Bool) {
    var isLate = false
    let deadline = LoopTimer(on: loop) {
        isLate = true
        loop.stop()
    }
    deadline.schedule(at: loop.refreshNow() + seconds * 1_000_000_000)
    let others = loop.atTurnEnd
    loop.atTurnEnd = {
        others?()
        if done() { loop.stop() }
    }
    if !done() { loop.run() }
    loop.atTurnEnd = others
    deadline.close()
    #expect(!isLate, "the deadline passed")
}

/// `count` bytes that follow from `seed`.
func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state >> 32)
    }
}

/// A span's bytes as an array.
func array(_ span: RawSpan) -> [UInt8] {
    (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
}

/// A thread that runs a closure.
struct TestThread {
    private var thread = pthread_t()

    /// Starts `work` on a new thread.
    init(_ work: @escaping @Sendable () -> Void) {
        let made = unsafe pthread_create(&thread, nil, runWork, Unmanaged.passRetained(Work(work)).toOpaque())
        #expect(made == 0)
    }

    /// Waits for the thread's end.
    func join() { pthread_join(thread, nil) }
}

private final class Work {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private func runWork(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    unsafe Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue().run()
    return nil
}

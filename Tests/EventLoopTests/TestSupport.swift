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

/// Which counters of one direction have been accepted: a sliding window of 8,128 counters (RFC 6479).
///
/// Checking and committing are apart, so that a packet moves the window only after its last check
/// (protocol.md, sections 4 and 5). The window allocates 1 KiB once and nothing per packet.
@safe public struct ReplayWindow: ~Copyable {
    /// How far below the highest committed counter a counter may lie: 8,128 counters in all, the highest among them.
    public static let width: UInt64 = 8128

    private static let wordCount = 128
    private let words: UnsafeMutablePointer<UInt64>
    /// The highest committed counter; 0 when there is none.
    public private(set) var highest: UInt64 = 0

    /// A window that has seen nothing.
    public init() {
        unsafe words = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.wordCount)
        unsafe words.initialize(repeating: 0, count: Self.wordCount)
    }

    deinit { unsafe words.deallocate() }

    /// Whether `counter` is neither behind the window nor committed; changes nothing.
    public borrowing func check(_ counter: UInt64) -> Bool {
        if counter > highest { return true }
        if highest - counter >= Self.width { return false }
        return unsafe words[Self.index(counter)] & Self.bit(counter) == 0
    }

    /// Notes that `counter` was accepted, moving the window up to it when it is the highest yet.
    ///
    /// Only for a counter that `check` lets pass; one behind the window is left out.
    public mutating func commit(_ counter: UInt64) {
        if counter > highest {
            let steps = (counter >> 6) - (highest >> 6)
            if steps >= UInt64(Self.wordCount) {
                unsafe words.update(repeating: 0, count: Self.wordCount)
            } else {
                var step: UInt64 = 1
                while step <= steps {
                    unsafe words[Self.index(highest &+ step << 6)] = 0
                    step += 1
                }
            }
            highest = counter
        } else if highest - counter >= Self.width {
            return
        }
        unsafe words[Self.index(counter)] |= Self.bit(counter)
    }

    private static func index(_ counter: UInt64) -> Int { Int(truncatingIfNeeded: (counter >> 6) & 127) }
    private static func bit(_ counter: UInt64) -> UInt64 { 1 << (counter & 63) }
}

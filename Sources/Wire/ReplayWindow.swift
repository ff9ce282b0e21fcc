/// The accepted counters of one direction: a sliding window of 8,128 counters (RFC 6479).
///
/// Checking and committing are separate, so that a packet moves the window only after its last check (protocol.md,
/// sections 4 and 5). The window allocates 1 KiB once and nothing per packet.
@safe public struct ReplayWindow: ~Copyable {
    /// The number of counters that the window distinguishes: the highest committed one and those below it.
    public static let width: UInt64 = 8_128

    private static let wordCount = 128
    @usableFromInline let words: UnsafeMutablePointer<UInt64>
    /// The highest committed counter; 0 when there is none.
    public var highest: UInt64 { newest }
    @usableFromInline var newest: UInt64 = 0

    /// A window without committed counters.
    public init() {
        unsafe words = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.wordCount)
        unsafe words.initialize(repeating: 0, count: Self.wordCount)
    }

    deinit { unsafe words.deallocate() }

    /// Whether `counter` is neither below the window nor committed; changes nothing.
    @inlinable
    public borrowing func check(_ counter: UInt64) -> Bool {
        if counter > newest { return true }
        if newest &- counter >= Self.width { return false }
        return unsafe words[Self.index(counter)] & Self.bit(counter) == 0
    }

    /// Commits `counter`, and moves the window up to it if it is the highest yet.
    ///
    /// Returns false and changes nothing if it is below the window or was committed before.
    @inlinable @discardableResult
    public mutating func commit(_ counter: UInt64) -> Bool {
        let index = Self.index(counter)
        let bit = Self.bit(counter)
        if counter > newest {
            if (counter ^ newest) >> 6 != 0 { advance(to: counter) }
            newest = counter
        } else if newest &- counter >= Self.width {
            return false
        } else if unsafe words[index] & bit != 0 {
            return false
        }
        unsafe words[index] |= bit
        return true
    }

    /// The same for a counter shortly above the highest, without a call; for any other returns false and changes
    /// nothing.
    @inlinable @inline(__always)
    public mutating func commitNext(_ counter: UInt64) -> Bool {
        guard counter > newest, (counter ^ newest) >> 6 == 0 else { return false }
        newest = counter
        unsafe words[Self.index(counter)] |= Self.bit(counter)
        return true
    }

    /// Clears the counters that leave the window when `counter` becomes the highest, word by word.
    @usableFromInline
    mutating func advance(to counter: UInt64) {
        let steps = (counter >> 6) - (newest >> 6)
        guard steps < UInt64(Self.wordCount) else {
            unsafe words.update(repeating: 0, count: Self.wordCount)
            return
        }
        var step: UInt64 = 1
        while step <= steps {
            unsafe words[Self.index(newest &+ step << 6)] = 0
            step += 1
        }
    }

    @inlinable
    static func index(_ counter: UInt64) -> Int { Int(truncatingIfNeeded: (counter >> 6) & 127) }
    @inlinable
    static func bit(_ counter: UInt64) -> UInt64 { 1 &<< (counter & 63) }
}

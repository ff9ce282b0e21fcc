internal import Wire

/// The accepted timestamps of one node's initiations (protocol.md, section 3.2): each is accepted once.
///
/// A node whose clock is ahead may link, and may link again after its clock has been corrected. A timestamp that is
/// ahead of the own clock therefore does not block earlier ones: it is remembered separately until the own clock is
/// past it.
struct TimestampMemory: Sendable {
    /// How far two correct clocks may be apart, in nanoseconds.
    static let tolerance: UInt64 = 600 * 1_000_000_000
    /// How far ahead of the own clock a timestamp may be, in nanoseconds.
    static let longestAhead: UInt64 = 86_400 * 1_000_000_000
    /// How many timestamps that are ahead are remembered; when these are full, no other that is ahead is accepted.
    static let mostAhead = 64

    /// The greatest accepted timestamp that was not ahead; nothing up to it is accepted.
    private var newest: UInt64 = 0
    /// The accepted timestamps above it that were ahead, ascending.
    private var ahead: [UInt64] = []

    /// Whether `timestamp` is fresh at the own clock's `wallClock`, both in nanoseconds since 1970; if so it is
    /// remembered.
    mutating func accept(_ timestamp: UInt64, wallClock: UInt64) -> Bool {
        // No correct clock is that far behind the own one, so from now on such timestamps only block replays.
        let past = wallClock > Self.tolerance ? wallClock - Self.tolerance : 0
        if let last = ahead.last(where: { $0 <= past }) { newest = max(newest, last) }
        ahead.removeAll { $0 <= newest }
        guard timestamp > newest, !ahead.contains(timestamp) else { return false }
        guard timestamp > wallClock, timestamp - wallClock > Self.tolerance else {
            newest = timestamp
            return true
        }
        guard timestamp - wallClock <= Self.longestAhead, ahead.count < Self.mostAhead, timestamp > ahead.last ?? 0
        else { return false }
        ahead.append(timestamp)
        return true
    }
}

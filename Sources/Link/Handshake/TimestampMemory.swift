internal import Wire

/// The timestamps of one node's initiations that were accepted (protocol.md, section 3.2): each is accepted once.
///
/// A node whose clock is ahead may link, and may link again when its clock has been set right. So a timestamp that is ahead
/// of the own clock does not forbid earlier ones: it is remembered by itself until the own clock is past it.
struct TimestampMemory: Sendable {
    /// How far two right clocks may be apart, in nanoseconds.
    static let tolerance: UInt64 = 600 * 1_000_000_000
    /// How far ahead of the own clock a timestamp may be, in nanoseconds.
    static let longestAhead: UInt64 = 86_400 * 1_000_000_000
    /// How many timestamps that are ahead are remembered; when these are all, no other that is ahead is accepted.
    static let mostAhead = 64

    /// The greatest that was not ahead: nothing up to it is accepted.
    private var newest: UInt64 = 0
    /// Those above it that were ahead, ascending.
    private var ahead: [UInt64] = []

    /// Whether `timestamp` is fresh at the own clock's `wallClock`, both in nanoseconds since 1970; if so it is remembered.
    mutating func accept(_ timestamp: UInt64, wallClock: UInt64) -> Bool {
        // No right clock is that far behind the own one: from here on these forbid nothing but replays.
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

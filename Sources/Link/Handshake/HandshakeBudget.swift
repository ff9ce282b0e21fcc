internal import Wire

/// The rate at which a responder processes handshakes of sources that have shown a cookie.
///
/// A handshake costs as much as about a hundred packets. A source is new if it has had none for a minute. New sources
/// and all others have separate budgets, so neither can exclude the other. In both, networks (``NetworkShare``) have
/// equal parts, so a network with many new sources still gets the part of one network.
///
/// Memory is at most 512 KiB and, for each budget, a count for each of 16,384 networks; it is allocated when it is
/// needed. Callers pass only sources that have proved their address.
struct HandshakeBudget: Sendable {
    /// A source that has had no handshake for this long is new, in seconds.
    private static let newAfter: UInt32 = 60
    /// The size of each of two tables; a source has a bucket in both, and is new if one of them has not been used for a
    /// minute.
    private static let buckets = 1 << 16

    private var fresh: SharedRate<NetworkShare>
    private var others: SharedRate<NetworkShare>
    /// The second in which a source of the bucket last had a handshake, plus 1; 0: never.
    private var lastAt = PagedArray(repeating: UInt32(0), count: 2 * buckets)

    /// Budgets of `fresh` handshakes a second for new sources and of `others` for the rest, each with this `burst`,
    /// during which packets wait.
    init(fresh: Int, others: Int, burst: Int, now: Instant) {
        self.fresh = SharedRate(perSecond: fresh, burst: burst, now: now)
        self.others = SharedRate(perSecond: others, burst: burst, now: now)
    }

    /// Takes a handshake for `source`; false if none is left for it.
    mutating func take(_ source: AddressShare, now: Instant) -> Bool {
        let second = UInt32(truncatingIfNeeded: now.nanoseconds / 1_000_000_000) &+ 1
        let (first, other) = Self.places(of: source)
        let isNew = isOld(lastAt[first], second) || isOld(lastAt[other], second)
        let isTaken = isNew ? fresh.take(source.network, now) : others.take(source.network, now)
        guard isTaken else { return false }
        (lastAt[first], lastAt[other]) = (second, second)
        return true
    }

    private func isOld(_ last: UInt32, _ second: UInt32) -> Bool {
        last == 0 || second &- last >= Self.newAfter
    }

    private static func places(of source: AddressShare) -> (Int, Int) {
        var hasher = Hasher()
        hasher.combine(source)
        let hash = hasher.finalize()
        return (hash & (buckets - 1), buckets + hash >> 32 & (buckets - 1))
    }
}

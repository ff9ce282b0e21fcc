internal import Wire

/// The rate at which a responder processes handshakes of sources that have shown a cookie.
///
/// A handshake costs as much as about a hundred packets. A source is new if it has had none for a minute. New sources
/// and all others have separate budgets, so neither can exclude the other. A third one is for sources that come back
/// soon and have no link up, once each until they are new again: a client that starts anew does not wait behind sources
/// that make one link after another. In each, networks (``NetworkShare``) have equal parts, so a network with many new
/// sources still gets the part of one network.
///
/// Memory is at most 512 KiB and, for each budget, a count for each of 16,384 networks; it is allocated when it is
/// needed. Callers pass only sources that have proved their address.
struct HandshakeBudget: Sendable {
    /// A source that has had no handshake for this long is new, in seconds.
    private static let newAfter: UInt32 = 60
    /// The size of each of two tables; a source has a bucket in both, and is new if one of them has not been used for a
    /// minute.
    private static let buckets = 1 << 16

    private var fresh: SharedRate<NetworkShare, Never>
    private var others: SharedRate<NetworkShare, Never>
    private var returning: SharedRate<NetworkShare, Never>
    /// When a source of the bucket had its last handshake, in seconds and one more, and in the lowest bit whether it
    /// has come back since it was new; 0: never.
    private var lastAt = PagedArray(repeating: UInt32(0), count: 2 * buckets)

    /// The handshakes a second of new sources (`fresh`), of all others and of those `returning`, and the `burst` of
    /// each, during which packets wait.
    init(fresh: Int, others: Int, returning: Int, burst: Int, now: Instant) {
        self.fresh = SharedRate(perSecond: fresh, burst: burst, now: now)
        self.others = SharedRate(perSecond: others, burst: burst, now: now)
        self.returning = SharedRate(perSecond: returning, burst: burst, now: now)
    }

    /// Takes a handshake for `source`; false if none is left for it.
    ///
    /// `hasLink` says whether a link of the source is up.
    mutating func take(_ source: AddressShare, hasLink: Bool = false, now: Instant) -> Bool {
        let second = UInt32(truncatingIfNeeded: now.nanoseconds / 1_000_000_000) &+ 1
        let (first, other) = Self.places(of: source)
        let isNew = isOld(lastAt[first], second) || isOld(lastAt[other], second)
        var isBack = !isNew && lastAt[first] & lastAt[other] & 1 == 1
        if isNew {
            guard fresh.take(source.network, now) else { return false }
        } else if !isBack, !hasLink, returning.take(source.network, now) {
            isBack = true
        } else {
            guard others.take(source.network, now) else { return false }
        }
        let note = second << 1 | (isBack ? 1 : 0)
        (lastAt[first], lastAt[other]) = (note, note)
        return true
    }

    private func isOld(_ last: UInt32, _ second: UInt32) -> Bool {
        last == 0 || (second &- last >> 1) & (UInt32.max >> 1) >= Self.newAfter
    }

    private static func places(of source: AddressShare) -> (Int, Int) {
        var hasher = Hasher()
        hasher.combine(source)
        let hash = hasher.finalize()
        return (hash & (buckets - 1), buckets + hash >> 32 & (buckets - 1))
    }
}

/// A token bucket that several sources take from: while it is less than half full, each may have an equal part of the rate.
public struct SharedRate<Source: Hashable & Sendable>: Sendable {
    private static var window: TimeSpan { .seconds(1) }
    /// The most sources that are distinguished in a window; the others count as a single source that has taken nothing.
    private static var mostSources: Int { 16_384 }

    private let perSecond: Int
    private var bucket: TokenBucket
    private var since: Instant
    /// The tokens that each source took in this window; 0 for a source that asked in vain.
    private var taken: [Source: Int] = [:]
    /// How many sources asked in the previous window.
    private var sourcesBefore = 0

    /// A full bucket.
    public init(perSecond: Int, burst: Int, now: Instant) {
        self.perSecond = perSecond
        bucket = TokenBucket(perSecond: perSecond, burst: burst, now: now)
        since = now
    }

    /// Takes a token for `source` if the source's part allows one.
    public mutating func take(_ source: Source, _ now: Instant) -> Bool {
        if now - since >= Self.window {
            sourcesBefore = now - since >= Self.window * 2 ? 0 : taken.count
            taken.removeAll(keepingCapacity: true)
            since = now
        }
        let own = taken[source] ?? 0
        // A source that gets nothing is counted too; otherwise those that empty the bucket would share the rate among
        // themselves.
        let isCounted = own > 0 || taken.count < Self.mostSources
        if isCounted { taken[source] = own }
        let share = max(1, perSecond / max(1, sourcesBefore, taken.count))
        if own >= share, bucket.isBelowHalf(now) { return false }
        guard bucket.take(now: now) else { return false }
        if isCounted { taken[source] = own + 1 }
        return true
    }
}

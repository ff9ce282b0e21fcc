internal import DequeModule
public import Wire

/// Links whose initiator has not yet shown that it has the keys, oldest first, in bounded number (protocol.md, section
/// 3.6).
///
/// When there are too many, the oldest of the source with the most is removed. A source that is at its limit, or has at
/// most one link fewer than that source, loses its own oldest. If each source has one, the oldest of all is removed. An
/// honest initiator needs only one round trip.
public struct HalfOpenLinks<Link: Hashable & Sendable, Source: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let link: Link
        let endsAt: Instant
    }

    /// The most links of one source while half of the places or more are taken.
    public static var mostOfSource: Int { 64 }

    private let limit: Int
    private let lifetime: TimeSpan
    private var queue = Deque<Entry>()
    private var waiting: [Link: Source] = [:]
    private var shares: Shares<Source>

    /// At most `limit` links, each for `lifetime`.
    public init(limit: Int = 1_024, lifetime: TimeSpan = .seconds(10)) {
        self.limit = limit
        self.lifetime = lifetime
        shares = Shares(capacity: limit, most: Self.mostOfSource, freely: limit / 2)
    }

    /// How many there are.
    public var count: Int { waiting.count }

    /// How many entries the queue has, with those of links that are no longer half-open.
    var remembered: Int { queue.count }

    /// Adds a link of `source`; returns the link to close in its place, if any.
    public mutating func insert(_ link: Link, of source: Source, now: Instant) -> Link? {
        var victim: Link?
        switch shares.admission(for: source) {
        case .granted: break
        case .makeRoom(let largest): victim = popOldest(of: largest)
        case .shareUsed: victim = popOldest(of: source)
        case .full: victim = shares.places(of: source) > 0 ? popOldest(of: source) : popOldest()
        }
        shares.add(source)
        waiting[link] = source
        queue.append(Entry(link: link, endsAt: now + lifetime))
        return victim
    }

    /// The link is confirmed or closed.
    public mutating func remove(_ link: Link) {
        forget(link)
        dropStale()
    }

    /// Removes and returns the next expired link; call it until it returns nil.
    public mutating func popExpired(now: Instant) -> Link? {
        dropStale()
        guard let first = queue.first, now >= first.endsAt else { return nil }
        return popOldest()
    }

    /// When `popExpired` will return a link.
    public var nextDeadline: Instant? { queue.first?.endsAt }

    private mutating func popOldest() -> Link? {
        dropStale()
        guard let link = queue.first?.link else { return nil }
        remove(link)
        return link
    }

    private mutating func popOldest(of source: Source) -> Link? {
        guard let link = queue.first(where: { waiting[$0.link] == source })?.link else { return nil }
        remove(link)
        return link
    }

    private mutating func forget(_ link: Link) {
        guard let source = waiting.removeValue(forKey: link) else { return }
        shares.release(source)
    }

    /// Drops entries that are no longer waiting.
    private mutating func dropStale() {
        while let first = queue.first, waiting[first.link] == nil { queue.removeFirst() }
        // Confirmed links after a waiting one stay in the queue until that one ends; this bounds them too.
        if queue.count > 4 * limit { queue.removeAll { waiting[$0.link] == nil } }
    }
}

public import Wire

/// Links whose initiator has not yet shown that it has the keys, oldest first, in bounded number (protocol.md, section 3.6).
///
/// When there are too many the oldest gives way: an honest initiator needs one round trip, and pushing it out in that time
/// would take a thousand initiations with cookies within it.
public struct HalfOpenLinks<Link: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        let link: Link
        let endsAt: Instant
    }

    private let limit: Int
    private let lifetime: TimeSpan
    private var queue: [Entry] = []
    private var head = 0
    private var waiting: Set<Link> = []

    /// At most `limit` links, each for `lifetime`.
    public init(limit: Int = 1_024, lifetime: TimeSpan = .seconds(10)) {
        self.limit = limit
        self.lifetime = lifetime
    }

    /// How many there are.
    public var count: Int { waiting.count }

    /// Adds a link; returns the one that must close to make room, if any.
    public mutating func insert(_ link: Link, now: Instant) -> Link? {
        var victim: Link?
        if waiting.count >= limit { victim = popOldest() }
        waiting.insert(link)
        queue.append(Entry(link: link, endsAt: now + lifetime))
        return victim
    }

    /// The link is confirmed or closed.
    public mutating func remove(_ link: Link) {
        waiting.remove(link)
        dropStale()
    }

    /// The next link whose time is over; call it until it is nil.
    public mutating func popExpired(now: Instant) -> Link? {
        dropStale()
        guard head < queue.count, now >= queue[head].endsAt else { return nil }
        return popOldest()
    }

    /// When `popExpired` has something.
    public var nextDeadline: Instant? { head < queue.count ? queue[head].endsAt : nil }

    private mutating func popOldest() -> Link? {
        dropStale()
        guard head < queue.count else { return nil }
        let link = queue[head].link
        waiting.remove(link)
        dropStale()
        return link
    }

    /// Passes over entries that are no longer waiting, and gives their memory back now and then.
    private mutating func dropStale() {
        while head < queue.count, !waiting.contains(queue[head].link) { head += 1 }
        if head > limit || head == queue.count {
            queue.removeFirst(head)
            head = 0
        }
        // Confirmed links behind a waiting one stay in the queue until it ends; bound that too.
        if queue.count > 4 * limit {
            queue.removeAll { !waiting.contains($0.link) }
            head = 0
        }
    }
}

internal import Wire

/// Tickets in the order of their deadlines, all of which have the same distance from when they were appended.
///
/// A ticket that ends early stays until its deadline: the queue's owner ignores it then. So the length is bounded by the
/// rate of new tickets and that distance.
struct DeadlineQueue {
    private var items: [(deadline: Instant, ticket: UInt64)] = []
    private var head = 0
    private let distance: TimeSpan

    init(_ distance: TimeSpan) { self.distance = distance }

    /// The first deadline.
    var first: Instant? { head < items.count ? items[head].deadline : nil }

    mutating func append(_ ticket: UInt64, now: Instant) { items.append((now + distance, ticket)) }

    /// The next ticket whose deadline has come.
    mutating func next(_ now: Instant) -> UInt64? {
        guard head < items.count, items[head].deadline <= now else { return nil }
        defer { removeFirst() }
        return items[head].ticket
    }

    /// The oldest ticket, with its deadline.
    var oldest: (deadline: Instant, ticket: UInt64)? { head < items.count ? items[head] : nil }

    mutating func removeFirst() {
        head += 1
        guard head > 32, head * 2 > items.count else { return }
        items.removeFirst(head)
        head = 0
    }
}

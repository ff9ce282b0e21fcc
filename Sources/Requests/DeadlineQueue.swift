internal import Wire

/// Items, such as tickets, in the order of their deadlines, all of which have the same distance from when they were appended.
///
/// An item that ends early stays until its deadline: the queue's owner ignores it then. So the length is bounded by the
/// rate of new items and that distance.
struct DeadlineQueue<Item> {
    private var items: [(deadline: Instant, item: Item)] = []
    private var head = 0
    private let distance: TimeSpan

    init(_ distance: TimeSpan) { self.distance = distance }

    /// The first deadline.
    var first: Instant? { head < items.count ? items[head].deadline : nil }

    mutating func append(_ item: Item, now: Instant) { items.append((now + distance, item)) }

    /// The next item whose deadline has come.
    mutating func next(_ now: Instant) -> Item? {
        guard head < items.count, items[head].deadline <= now else { return nil }
        defer { removeFirst() }
        return items[head].item
    }

    /// The oldest item, with its deadline.
    var oldest: (deadline: Instant, item: Item)? { head < items.count ? items[head] : nil }

    mutating func removeFirst() {
        head += 1
        guard head > 32, head * 2 > items.count else { return }
        items.removeFirst(head)
        head = 0
    }
}

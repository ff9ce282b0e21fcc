internal import DequeModule
internal import Wire

/// Items, such as tickets, in the order of their deadlines, all of which have the same distance from when they were appended.
///
/// An item that ends early stays until its deadline: the queue's owner ignores it then. So the length is bounded by the
/// rate of new items and that distance.
struct DeadlineQueue<Item> {
    private var items = Deque<(deadline: Instant, item: Item)>()
    private let distance: TimeSpan

    init(_ distance: TimeSpan) { self.distance = distance }

    /// The first deadline.
    var first: Instant? { items.first?.deadline }

    /// The item with the first deadline.
    var oldest: Item? { items.first?.item }

    mutating func append(_ item: Item, now: Instant) { items.append((now + distance, item)) }

    /// The next item whose deadline has come.
    mutating func next(_ now: Instant) -> Item? {
        guard let first, first <= now else { return nil }
        return items.popFirst()?.item
    }

    mutating func removeFirst() { _ = items.popFirst() }
}

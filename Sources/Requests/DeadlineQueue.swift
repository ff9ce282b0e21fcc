internal import DequeModule
internal import Wire

/// Items, such as tickets, in the order of their deadlines: each deadline is a fixed time after the item was appended.
///
/// An item that ends early stays until its deadline, and the owner then ignores it. The rate of new items and the fixed
/// time therefore bound the length.
struct DeadlineQueue<Item> {
    private var items = Deque<(deadline: Instant, item: Item)>()
    private let distance: TimeSpan

    init(_ distance: TimeSpan) { self.distance = distance }

    var first: Instant? { items.first?.deadline }

    /// The item with the first deadline.
    var oldest: Item? { items.first?.item }

    mutating func append(_ item: Item, now: Instant) { items.append((now + distance, item)) }

    /// Removes and returns the next item whose deadline has come.
    mutating func next(_ now: Instant) -> Item? {
        guard let first, first <= now else { return nil }
        return items.popFirst()?.item
    }

    mutating func removeFirst() { _ = items.popFirst() }
}

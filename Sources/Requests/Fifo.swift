/// A queue whose ends are reached in constant time on average.
struct Fifo<Element> {
    private var items: [Element] = []
    private var head = 0

    init() {}

    /// The element that was appended first.
    var first: Element? { head < items.count ? items[head] : nil }

    mutating func append(_ element: Element) { items.append(element) }

    mutating func popFirst() -> Element? {
        guard head < items.count else { return nil }
        let element = items[head]
        head += 1
        if head > 32, head * 2 > items.count {
            items.removeFirst(head)
            head = 0
        }
        return element
    }
}

/// A queue of plain values, each with a running index: the first one ever appended has index 0.
///
/// It grows by doubling and keeps its storage; between growths it does not allocate.
struct Ring<Element> {
    private var storage: [Element] = []
    /// The index of the first element.
    private(set) var head = 0
    /// The index after the last element.
    private(set) var tail = 0

    init() {}

    var count: Int { tail - head }
    var isEmpty: Bool { head == tail }
    var capacity: Int { storage.count }

    subscript(index: Int) -> Element {
        get {
            precondition(index >= head && index < tail, "a ring is read inside its bounds")
            return storage[index & (storage.count - 1)]
        }
        set {
            precondition(index >= head && index < tail, "a ring is written inside its bounds")
            storage[index & (storage.count - 1)] = newValue
        }
    }

    mutating func append(_ element: Element) {
        if tail - head == storage.count { grow(filler: element) }
        storage[tail & (storage.count - 1)] = element
        tail += 1
    }

    mutating func popFirst() -> Element? {
        guard head < tail else { return nil }
        let element = storage[head & (storage.count - 1)]
        head += 1
        return element
    }

    mutating func removeLast() {
        precondition(head < tail, "a ring gives only what it holds")
        tail -= 1
    }

    /// Inserts an element before the first; its index is `head` afterwards.
    mutating func prepend(_ element: Element) {
        if tail - head == storage.count { grow(filler: element) }
        // Shifting both ends by the storage's size keeps indices above 0.
        if head == 0 {
            head += storage.count
            tail += storage.count
        }
        head -= 1
        storage[head & (storage.count - 1)] = element
    }

    /// Removes the elements before `index`.
    mutating func removeAll(before index: Int) {
        precondition(index <= tail, "a ring forgets only what it holds")
        if index > head { head = index }
    }

    private mutating func grow(filler: Element) {
        let size = max(8, storage.count * 2)
        var larger = [Element](repeating: filler, count: size)
        for index in head..<tail { larger[index & (size - 1)] = storage[index & (storage.count - 1)] }
        storage = larger
    }
}

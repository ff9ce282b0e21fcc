/// Elements with ranks; the one with the lowest rank is found at once, and each change takes as many steps as the
/// logarithm of their number.
struct RankHeap<Rank: Comparable & Sendable, Element: Sendable>: Sendable {
    private var entries: [(rank: Rank, element: Element)] = []

    /// How many elements there are.
    var count: Int { entries.count }

    /// The element with the lowest rank.
    var first: (rank: Rank, element: Element)? { entries.first }

    mutating func insert(_ element: Element, rank: Rank) {
        entries.append((rank, element))
        rise(from: entries.count - 1)
    }

    /// Removes the element with the lowest rank.
    mutating func removeFirst() {
        guard let last = entries.popLast(), !entries.isEmpty else { return }
        entries[0] = last
        sink(from: 0)
    }

    /// Gives the element with the lowest rank another one.
    mutating func setFirstRank(_ rank: Rank) {
        guard !entries.isEmpty else { return }
        entries[0].rank = rank
        sink(from: 0)
    }

    /// Gives all elements new ranks, and removes those for which `rank` is nil.
    mutating func rebuild(_ rank: (Element) -> Rank?) {
        entries = entries.compactMap { entry in rank(entry.element).map { (rank: $0, element: entry.element) } }
        for index in (0..<entries.count / 2).reversed() { sink(from: index) }
    }

    private mutating func rise(from start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard entries[index].rank < entries[parent].rank else { return }
            entries.swapAt(index, parent)
            index = parent
        }
    }

    private mutating func sink(from start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < entries.count && entries[child].rank < entries[least].rank {
                least = child
            }
            guard least != index else { return }
            entries.swapAt(index, least)
            index = least
        }
    }
}

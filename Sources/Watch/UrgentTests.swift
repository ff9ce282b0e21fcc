internal import Wire

/// Nodes to test out of turn, and the nodes that requested it: senders take turns, and each has a share of the places.
///
/// So a sender that asks for tests of nodes that stall delays another's request by one such test.
struct UrgentTests: Sendable {
    private var waiting: [(node: NodeID, sender: NodeID)] = []
    private var shares = Shares<NodeID>(capacity: Tester.urgentLimit, most: Tester.urgentPerSender)
    /// The number of the last turn of each sender since the queue was empty.
    private var turns: [NodeID: UInt64] = [:]
    private var turn: UInt64 = 0

    /// Whether a test of `node` is waiting.
    func contains(_ node: NodeID) -> Bool { waiting.contains { $0.node == node } }

    /// Adds a test that `sender` requests; the last of the sender with the most gives way in a full queue.
    mutating func add(_ node: NodeID, for sender: NodeID) {
        var admission = shares.take(for: sender)
        if case .makeRoom(let other) = admission, let last = waiting.lastIndex(where: { $0.sender == other }) {
            remove(last)
            admission = shares.take(for: sender)
        }
        if admission == .granted { waiting.append((node, sender)) }
    }

    /// Removes and returns the next node: the first of the sender whose last turn is longest ago.
    mutating func next() -> NodeID? {
        let places = waiting.indices.map { (turn: turns[waiting[$0].sender] ?? 0, place: $0) }
        guard let place = places.min(by: { $0 < $1 })?.place else { return nil }
        let (node, sender) = waiting[place]
        turn += 1
        turns[sender] = turn
        remove(place)
        return node
    }

    /// Drops the tests of nodes for which `isWatched` is false.
    mutating func keep(_ isWatched: (NodeID) -> Bool) {
        for place in waiting.indices.reversed() where !isWatched(waiting[place].node) { remove(place) }
    }

    private mutating func remove(_ place: Int) {
        shares.release(waiting.remove(at: place).sender)
        if waiting.isEmpty { turns.removeAll() }
    }
}

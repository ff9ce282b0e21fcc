internal import DequeModule

/// Those that wait for a turn, of which a few are released at a time.
///
/// Released ones that come back without a turn are the next ones. Those that had a turn come last.
struct TurnLine<Waiter: AnyObject> {
    /// Those that were released and had no turn.
    private var front: [Waiter] = []
    private var line: Deque<Waiter> = []
    /// Those that had a turn since the last release.
    private var back: [Waiter] = []
    private var released: Set<ObjectIdentifier> = []

    /// How many wait.
    var count: Int { front.count + line.count + back.count }

    /// Adds one that does not wait, and that had a turn since it was released or not.
    mutating func add(_ waiter: Waiter, hadTurn: Bool) {
        if hadTurn {
            back.append(waiter)
        } else if released.contains(ObjectIdentifier(waiter)) {
            front.append(waiter)
        } else {
            line.append(waiter)
        }
    }

    /// Releases the first `most`, or all that wait.
    mutating func release(_ most: Int) -> [Waiter] {
        line.prepend(contentsOf: front)
        line.append(contentsOf: back)
        front.removeAll(keepingCapacity: true)
        back.removeAll(keepingCapacity: true)
        let found = Array(line.prefix(most))
        line.removeFirst(found.count)
        released = Set(found.map(ObjectIdentifier.init))
        return found
    }
}

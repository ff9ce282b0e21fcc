internal import DequeModule

/// Objects that wait for a turn, of which a few are released at a time.
///
/// A released object that comes back without having had a turn comes first. One that had a turn comes last.
struct WakeQueue<Waiter: AnyObject> {
    /// Objects that were released and had no turn.
    private var front: [Waiter] = []
    private var queue: Deque<Waiter> = []
    /// Objects that had a turn since they were released.
    private var back: [Waiter] = []
    private var released: Set<ObjectIdentifier> = []

    /// The number of objects that wait.
    var count: Int { front.count + queue.count + back.count }

    /// Adds an object that does not wait; `hadTurn` tells whether it had a turn since it was released.
    mutating func add(_ waiter: Waiter, hadTurn: Bool) {
        if hadTurn {
            back.append(waiter)
        } else if released.contains(ObjectIdentifier(waiter)) {
            front.append(waiter)
        } else {
            queue.append(waiter)
        }
    }

    /// Releases the first `most` objects, or all if fewer wait.
    mutating func release(_ most: Int) -> [Waiter] {
        queue.prepend(contentsOf: front)
        queue.append(contentsOf: back)
        front.removeAll(keepingCapacity: true)
        back.removeAll(keepingCapacity: true)
        let found = Array(queue.prefix(most))
        queue.removeFirst(found.count)
        released = Set(found.map(ObjectIdentifier.init))
        return found
    }
}

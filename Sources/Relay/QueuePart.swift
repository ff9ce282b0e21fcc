internal import DequeModule
internal import Link
internal import Wire

/// The requests of nodes, or those of strangers, in a `SharedQueue`.
///
/// The group whose last turn was longest ago is next, and in it the asker whose last turn was longest ago. Those
/// without a turn come before all others, in an order that lots decide when they begin to wait. If all places are
/// taken, the group with the most loses one; of several with as many, the one whose turn is last. In the group the same
/// rule finds the asker, which loses its newest request. So a newcomer gets the place of a group that has been served,
/// whoever came first.
///
/// Every operation takes time in proportion to the requests that wait, at most.
struct QueuePart<Request> {
    private struct AskerQueue {
        let asker: Asker
        var turn: UInt64
        var requests: Deque<Request> = []
    }

    private struct Group {
        let key: LinkSource.Group
        var turn: UInt64
        /// The askers that wait; never empty between two calls.
        var queues: [AskerQueue] = []
        /// The number of requests.
        var count = 0
    }

    private struct Place {
        let group: Int
        let queue: Int
        let request: Int
    }

    private let capacity: Int
    private let most: Int
    private let freely: Int
    private var random: any RandomNumberGenerator & Sendable
    private var groups: [Group] = []
    private var turnsOfGroups = LastTurns<LinkSource.Group>()
    private var turnsOfAskers = LastTurns<Asker>()
    /// The number of requests that wait.
    private(set) var count = 0

    /// `capacity` places, of which one asker gets at most `most` once `freely` are taken.
    init(capacity: Int, most: Int, freely: Int, random: any RandomNumberGenerator & Sendable) {
        precondition(capacity > 0 && most > 0, "a queue has places")
        self.capacity = capacity
        self.most = min(most, capacity)
        self.freely = min(freely, capacity)
        self.random = random
    }

    /// The request whose turn it is.
    var first: Request? { next { _, _ in true }.map { groups[$0.group].queues[$0.queue].requests[$0.request] } }

    /// Adds a request; returns a request without a place, if any: this one or another.
    mutating func add(_ request: Request, from asker: Asker) -> Request? {
        let group = index(of: asker.group)
        let queue = groups[group].queues.firstIndex { $0.asker == asker }
        if let queue, groups[group].queues[queue].requests.count >= most, count >= freely { return request }
        if let queue {
            groups[group].queues[queue].requests.append(request)
        } else {
            let turn = turnsOfAskers.last(of: asker) ?? lot(isAlone: groups[group].queues.isEmpty)
            groups[group].queues.append(AskerQueue(asker: asker, turn: turn, requests: [request]))
        }
        groups[group].count += 1
        count += 1
        return count > capacity ? removeLast() : nil
    }

    /// Takes the request whose turn it is of those for which `condition` holds.
    mutating func take(where condition: (Asker, Request) -> Bool) -> (asker: Asker, request: Request)? {
        guard let place = next(where: condition) else { return nil }
        let asker = groups[place.group].queues[place.queue].asker
        // All turns are numbered in one order. So nobody is ahead of others for a turn that it could not take before.
        groups[place.group].turn = turnsOfGroups.take(asker.group)
        groups[place.group].queues[place.queue].turn = turnsOfAskers.take(asker)
        return (asker, remove(place))
    }

    /// Removes the requests for which `condition` holds; that is nobody's turn.
    mutating func remove(where condition: (Request) -> Bool) {
        for group in groups.indices {
            for queue in groups[group].queues.indices {
                groups[group].queues[queue].requests.removeAll(where: condition)
            }
            groups[group].queues.removeAll { $0.requests.isEmpty }
            groups[group].count = groups[group].queues.reduce(0) { $0 + $1.requests.count }
        }
        groups.removeAll { $0.queues.isEmpty }
        count = groups.reduce(0) { $0 + $1.count }
    }

    /// Whether `condition` holds for a request that waits.
    func contains(where condition: (Request) -> Bool) -> Bool {
        groups.contains { $0.queues.contains { $0.requests.contains(where: condition) } }
    }

    /// The index of `key`, which is added if it does not wait yet.
    private mutating func index(of key: LinkSource.Group) -> Int {
        if let index = groups.firstIndex(where: { $0.key == key }) { return index }
        groups.append(Group(key: key, turn: turnsOfGroups.last(of: key) ?? lot(isAlone: groups.isEmpty)))
        return groups.count - 1
    }

    /// A number before those of all turns, for a newcomer; a newcomer that is alone is the first anyway.
    private mutating func lot(isAlone: Bool) -> UInt64 { isAlone ? 0 : random.next() >> 32 }

    private func next(where condition: (Asker, Request) -> Bool) -> Place? {
        var found: Place?
        for group in groups.indices where found.map({ groups[group].turn < groups[$0.group].turn }) ?? true {
            if let (queue, request) = next(in: groups[group].queues, where: condition) {
                found = Place(group: group, queue: queue, request: request)
            }
        }
        return found
    }

    private func next(
        in queues: [AskerQueue], where condition: (Asker, Request) -> Bool
    ) -> (queue: Int, request: Int)? {
        var found: (queue: Int, request: Int)?
        for queue in queues.indices where found.map({ queues[queue].turn < queues[$0.queue].turn }) ?? true {
            let asker = queues[queue].asker
            if let request = queues[queue].requests.firstIndex(where: { condition(asker, $0) }) {
                found = (queue, request)
            }
        }
        return found
    }

    /// Removes the request that gives way.
    private mutating func removeLast() -> Request {
        var group = 0
        for other in groups.indices.dropFirst()
        where (groups[other].count, groups[other].turn) > (groups[group].count, groups[group].turn) { group = other }
        var queue = 0
        for other in groups[group].queues.indices.dropFirst() {
            let (one, two) = (groups[group].queues[other], groups[group].queues[queue])
            if (one.requests.count, one.turn) > (two.requests.count, two.turn) { queue = other }
        }
        return remove(Place(group: group, queue: queue, request: groups[group].queues[queue].requests.count - 1))
    }

    private mutating func remove(_ place: Place) -> Request {
        let request = groups[place.group].queues[place.queue].requests.remove(at: place.request)
        if groups[place.group].queues[place.queue].requests.isEmpty {
            groups[place.group].queues.remove(at: place.queue)
        }
        groups[place.group].count -= 1
        if groups[place.group].queues.isEmpty { groups.remove(at: place.group) }
        count -= 1
        return request
    }
}

/// The numbers of the last turns of askers, or of their groups.
///
/// At least the last `limit` of them are remembered, and at most twice as many.
struct LastTurns<Key: Hashable & Sendable>: Sendable {
    /// How many are forgotten at a time.
    static var limit: Int { 1_024 }
    /// The number of the first turn.
    static var first: UInt64 { 1 << 32 }

    private var recent: [Key: UInt64] = [:]
    private var older: [Key: UInt64] = [:]
    private var next = Self.first

    /// The number of the last turn of `key`; nil if it had none, or is forgotten.
    func last(of key: Key) -> UInt64? { recent[key] ?? older[key] }

    /// Gives `key` a turn, and returns its number.
    mutating func take(_ key: Key) -> UInt64 {
        if recent.count >= Self.limit, recent[key] == nil { (older, recent) = (recent, [:]) }
        recent[key] = next
        next += 1
        return next - 1
    }
}

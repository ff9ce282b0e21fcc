internal import DequeModule
internal import Link
internal import Wire

/// The requests of nodes, or those of strangers, in a `SharedQueue`.
///
/// The group whose last turn was longest ago is next, and in it the asker whose last turn was longest ago. Those without
/// a turn come before all others, in an order that lots decide when they begin to wait. If all places are taken, the
/// group with the most loses one; of several with as many, the one whose turn is last. In the group the same rule finds
/// the asker, which loses its newest request. So a newcomer gets the place of a group that has been served, whoever came
/// first.
///
/// Every operation takes time in proportion to the requests that wait, at most.
struct QueuePart<Request> {
    private struct Line {
        let asker: Asker
        var turn: UInt64
        var requests: Deque<Request> = []
    }

    private struct Group {
        let key: LinkSource.Group
        var turn: UInt64
        /// The askers that wait; never empty between two calls.
        var lines: [Line] = []
        /// The number of requests.
        var count = 0
    }

    private struct Place {
        let group: Int
        let line: Int
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
    var first: Request? { next { _, _ in true }.map { groups[$0.group].lines[$0.line].requests[$0.request] } }

    /// Adds a request; returns a request without a place, if any: this one or another.
    mutating func add(_ request: Request, from asker: Asker) -> Request? {
        let group = index(of: asker.group)
        let line = groups[group].lines.firstIndex { $0.asker == asker }
        if let line, groups[group].lines[line].requests.count >= most, count >= freely { return request }
        if let line {
            groups[group].lines[line].requests.append(request)
        } else {
            let turn = turnsOfAskers.last(of: asker) ?? lot(isAlone: groups[group].lines.isEmpty)
            groups[group].lines.append(Line(asker: asker, turn: turn, requests: [request]))
        }
        groups[group].count += 1
        count += 1
        return count > capacity ? removeLast() : nil
    }

    /// Takes the request whose turn it is of those for which `condition` holds.
    mutating func take(where condition: (Asker, Request) -> Bool) -> (asker: Asker, request: Request)? {
        guard let place = next(where: condition) else { return nil }
        let asker = groups[place.group].lines[place.line].asker
        // All turns are numbered in one order. So nobody is ahead of others for a turn that it could not take before.
        groups[place.group].turn = turnsOfGroups.take(asker.group)
        groups[place.group].lines[place.line].turn = turnsOfAskers.take(asker)
        return (asker, remove(place))
    }

    /// Removes the requests for which `condition` holds; that is nobody's turn.
    mutating func remove(where condition: (Request) -> Bool) {
        for group in groups.indices {
            for line in groups[group].lines.indices {
                groups[group].lines[line].requests.removeAll(where: condition)
            }
            groups[group].lines.removeAll { $0.requests.isEmpty }
            groups[group].count = groups[group].lines.reduce(0) { $0 + $1.requests.count }
        }
        groups.removeAll { $0.lines.isEmpty }
        count = groups.reduce(0) { $0 + $1.count }
    }

    /// Whether `condition` holds for a request that waits.
    func contains(where condition: (Request) -> Bool) -> Bool {
        groups.contains { $0.lines.contains { $0.requests.contains(where: condition) } }
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
            if let (line, request) = next(in: groups[group].lines, where: condition) {
                found = Place(group: group, line: line, request: request)
            }
        }
        return found
    }

    private func next(in lines: [Line], where condition: (Asker, Request) -> Bool) -> (line: Int, request: Int)? {
        var found: (line: Int, request: Int)?
        for line in lines.indices where found.map({ lines[line].turn < lines[$0.line].turn }) ?? true {
            let asker = lines[line].asker
            if let request = lines[line].requests.firstIndex(where: { condition(asker, $0) }) {
                found = (line, request)
            }
        }
        return found
    }

    /// Removes the request that gives way.
    private mutating func removeLast() -> Request {
        var group = 0
        for other in groups.indices.dropFirst()
        where (groups[other].count, groups[other].turn) > (groups[group].count, groups[group].turn) { group = other }
        var line = 0
        for other in groups[group].lines.indices.dropFirst() {
            let (one, two) = (groups[group].lines[other], groups[group].lines[line])
            if (one.requests.count, one.turn) > (two.requests.count, two.turn) { line = other }
        }
        return remove(Place(group: group, line: line, request: groups[group].lines[line].requests.count - 1))
    }

    private mutating func remove(_ place: Place) -> Request {
        let request = groups[place.group].lines[place.line].requests.remove(at: place.request)
        if groups[place.group].lines[place.line].requests.isEmpty { groups[place.group].lines.remove(at: place.line) }
        groups[place.group].count -= 1
        if groups[place.group].lines.isEmpty { groups.remove(at: place.group) }
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

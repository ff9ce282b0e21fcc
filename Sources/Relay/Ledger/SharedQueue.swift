internal import Link
internal import Wire

/// The party that a request counts for: a node by its key, any other peer by its address.
enum Asker: Hashable, Sendable {
    /// A node that has proved its key.
    case node(NodeID)
    /// A client, or a node that is not staked.
    case address(AddressShare)

    /// The party that messages on a link of `source` count for.
    init(_ source: LinkSource) {
        switch source {
        case .client(let address): self = .address(address)
        case .node(let key): self = .node(NodeID(key))
        }
    }
}

/// Requests of others that wait; each asker has a share of the places, and askers take turns, each with its oldest
/// request.
///
/// A request is put in a round: the one after the rounds of the asker's requests that wait, and after the round that is
/// being served. Requests are taken round by round, so one asker's wait behind at most one of each other asker.
struct SharedQueue<Request> {
    private struct Entry {
        let asker: Asker
        let request: Request
        let round: UInt64
    }

    /// The requests in the order in which they came.
    private var entries: [Entry] = []
    private var shares: Shares<Asker>
    /// The round of the request that was taken last.
    private var served: UInt64 = 0

    /// A queue of `capacity` places, of which one asker gets at most `most` once `freely` are taken.
    init(capacity: Int, most: Int, freely: Int = 0) { shares = Shares(capacity: capacity, most: most, freely: freely) }

    /// The number of requests that wait.
    var count: Int { entries.count }

    /// Adds a request; returns a request without a place, if any: this one, or the newest of the asker with the most.
    mutating func add(_ request: Request, from asker: Asker) -> Request? {
        var dropped: Request?
        while true {
            switch shares.take(for: asker) {
            case .granted:
                let last = entries.last { $0.asker == asker }?.round ?? 0
                entries.append(Entry(asker: asker, request: request, round: max(last, served) + 1))
                return dropped
            case .makeRoom(let largest):
                guard let last = entries.lastIndex(where: { $0.asker == largest }) else {
                    preconditionFailure("an asker that holds places has requests")
                }
                dropped = entries.remove(at: last).request
                shares.release(largest)
            case .shareUsed, .full: return request
            }
        }
    }

    /// Takes the request whose turn it is of those for which `condition` holds.
    mutating func take(where condition: (Asker, Request) -> Bool = { _, _ in true }) -> (
        asker: Asker, request: Request
    )? {
        guard let index = next(where: condition) else { return nil }
        let entry = entries.remove(at: index)
        shares.release(entry.asker)
        served = max(served, entry.round)
        return (entry.asker, entry.request)
    }

    /// Removes the requests for which `condition` holds; that is nobody's turn.
    mutating func remove(where condition: (Request) -> Bool) {
        for entry in entries where condition(entry.request) { shares.release(entry.asker) }
        entries.removeAll { condition($0.request) }
    }

    /// Whether `condition` holds for a request in the queue.
    func contains(where condition: (Request) -> Bool) -> Bool { entries.contains { condition($0.request) } }

    /// The request whose turn it is.
    var first: Request? { next { _, _ in true }.map { entries[$0].request } }

    private func next(where condition: (Asker, Request) -> Bool) -> Int? {
        var found: Int?
        for (index, entry) in entries.enumerated() where found.map({ entry.round < entries[$0].round }) ?? true {
            if condition(entry.asker, entry.request) { found = index }
        }
        return found
    }
}

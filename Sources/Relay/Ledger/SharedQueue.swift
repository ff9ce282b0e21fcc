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

/// Requests of others that wait, oldest first; each asker has a share of the places.
struct SharedQueue<Request> {
    private var entries: [(asker: Asker, request: Request)] = []
    private var shares: Shares<Asker>

    /// A queue of `capacity` places, of which one asker gets at most `most`.
    init(capacity: Int, most: Int) { shares = Shares(capacity: capacity, most: most) }

    /// The number of requests that wait.
    var count: Int { entries.count }

    /// Adds a request; returns a request without a place, if any: this one, or the newest of the asker with the most.
    mutating func add(_ request: Request, from asker: Asker) -> Request? {
        var dropped: Request?
        while true {
            switch shares.take(for: asker) {
            case .granted:
                entries.append((asker, request))
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

    /// Takes the oldest request for which `condition` holds.
    mutating func take(where condition: (Asker, Request) -> Bool = { _, _ in true }) -> (
        asker: Asker, request: Request
    )? {
        guard let index = entries.firstIndex(where: { condition($0.asker, $0.request) }) else { return nil }
        let entry = entries.remove(at: index)
        shares.release(entry.asker)
        return entry
    }

    /// Whether `condition` holds for a request in the queue.
    func contains(where condition: (Request) -> Bool) -> Bool { entries.contains { condition($0.request) } }

    /// The oldest request.
    var first: Request? { entries.first?.request }
}

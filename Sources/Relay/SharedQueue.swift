internal import Link
internal import OnionCrypto
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

    /// The group that the asker belongs to, which has one turn together.
    var group: LinkSource.Group {
        switch self {
        case .node(let node): .node(node.key)
        case .address(let address): .network(address.network)
        }
    }

    /// Whether the asker is a node.
    var isNode: Bool { if case .node = self { true } else { false } }
}

/// Requests of others that wait (docs/architecture/state.md, "Shares").
///
/// Nodes and strangers have places apart, as many each, and are served alternately. In each part groups of askers take
/// turns, and in a group its askers, each with its oldest request.
struct SharedQueue<Request> {
    private var nodes: QueuePart<Request>
    private var strangers: QueuePart<Request>
    private var isTurnOfNodes = true

    /// A queue with `capacity` places for nodes and as many for strangers; one asker gets at most `most` of them once
    /// `freely` of its part are taken.
    ///
    /// `random` draws lots between askers that had no turn yet.
    init(
        capacity: Int, most: Int, freely: Int = 0, random: any RandomNumberGenerator & Sendable = SecureRandom()
    ) {
        nodes = QueuePart(capacity: capacity, most: most, freely: freely, random: random)
        strangers = QueuePart(capacity: capacity, most: most, freely: freely, random: random)
    }

    /// The number of requests that wait.
    var count: Int { nodes.count + strangers.count }

    /// The request whose turn it is.
    var first: Request? { isTurnOfNodes ? nodes.first ?? strangers.first : strangers.first ?? nodes.first }

    /// Adds a request; returns a request without a place, if any: this one or another.
    mutating func add(_ request: Request, from asker: Asker) -> Request? {
        asker.isNode ? nodes.add(request, from: asker) : strangers.add(request, from: asker)
    }

    /// Takes the request whose turn it is of those for which `condition` holds.
    mutating func take(where condition: (Asker, Request) -> Bool = { _, _ in true }) -> (
        asker: Asker, request: Request
    )? {
        let taken =
            isTurnOfNodes
            ? nodes.take(where: condition) ?? strangers.take(where: condition)
            : strangers.take(where: condition) ?? nodes.take(where: condition)
        if let taken { isTurnOfNodes = !taken.asker.isNode }
        return taken
    }

    /// Removes the requests for which `condition` holds; that is nobody's turn.
    mutating func remove(where condition: (Request) -> Bool) {
        nodes.remove(where: condition)
        strangers.remove(where: condition)
    }

    /// Whether `condition` holds for a request in the queue.
    func contains(where condition: (Request) -> Bool) -> Bool {
        nodes.contains(where: condition) || strangers.contains(where: condition)
    }
}

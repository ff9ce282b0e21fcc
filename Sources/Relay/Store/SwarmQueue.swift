internal import Wire

/// The events that wait for the replica, in order.
///
/// Clients' requests and other nodes' messages have places apart, each with a share for whoever brings them. This
/// node's own events come first: snapshots, time, and the answers to its questions, of which there is one for each.
struct SwarmQueue {
    typealias Event = SwarmWorker.Event

    /// The most requests, and the most messages, in one batch.
    static let batchEvents = 32
    /// The most bytes of messages in one batch; a single message may be longer.
    static let batchBytes = 1 << 20
    /// The requests of clients that wait, those of nodes and those of addresses each, and those of one node among them.
    static let requests = (all: 1_024, ofNode: 64)
    /// The messages of nodes that wait, each of 139,264 bytes at most, and those of one node among them.
    static let messages = (all: 256, ofNode: 16)

    private var isTickDue = false
    private var own: [Event] = []
    private var clients = SharedQueue<Event>(capacity: Self.requests.all, most: Self.requests.ofNode)
    private var nodes = SharedQueue<Event>(capacity: Self.messages.all, most: Self.messages.ofNode)

    /// Adds a tick; a batch contains at most one.
    mutating func tick() { isTickDue = true }

    /// Adds an event of this node: a snapshot, or an answer to its question.
    mutating func post(_ event: Event) { own.append(event) }

    /// Adds a client's request; returns the number of a request that finds no place, if any.
    mutating func ask(_ event: Event, by asker: Asker) -> UInt64? { clients.add(event, from: asker)?.number }

    /// Adds a node's message; returns the number of a message that finds no place, if any.
    mutating func receive(_ event: Event, from node: NodeID) -> UInt64? { nodes.add(event, from: .node(node))?.number }

    /// The next batch; empty if nothing waits.
    mutating func next() -> [Event] {
        var batch = own
        own = []
        if isTickDue { batch.append(.tick) }
        isTickDue = false
        for _ in 0..<Self.batchEvents {
            guard let entry = clients.take() else { break }
            batch.append(entry.request)
        }
        var bytes = 0
        for _ in 0..<Self.batchEvents {
            guard let first = nodes.first, bytes == 0 || bytes + first.size <= Self.batchBytes,
                let entry = nodes.take()
            else { break }
            bytes += entry.request.size
            batch.append(entry.request)
        }
        return batch
    }
}

extension SwarmWorker.Event {
    /// The number under which a request or message is answered; nil for an event of this node.
    fileprivate var number: UInt64? {
        switch self {
        case .asked(let number, _, _, _, _), .message(let number, _, _, _): number
        case .follow, .answered, .apply, .tick: nil
        }
    }

    /// The bytes of the message that the event carries.
    fileprivate var size: Int { if case .message(_, _, _, let body) = self { body.count } else { 0 } }
}

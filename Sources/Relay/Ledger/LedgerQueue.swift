internal import Link
internal import Links
internal import Wire

/// The events that wait for the ledger's worker, in order.
///
/// This node's own events and the authorities' messages come first. Operations of others follow, a few at a time, at a
/// bounded rate and with a share for each node and each address. A flood of operations therefore does not delay a
/// block.
struct LedgerQueue {
    typealias Event = LedgerWorker.Event

    /// The most events of one kind in one batch.
    static let batchEvents = 32
    /// The most bytes of messages of one kind in one batch.
    ///
    /// A single message may be longer.
    static let batchBytes = 1 << 20
    /// The most operations of others in one batch.
    static let batchOperations = 4
    /// The most events of this node that wait.
    static let ownLimit = 4_096

    /// The operations from one kind of asker, nodes or others.
    private struct Operations {
        var queue: SharedQueue<Event>
        var bucket: TokenBucket

        init(places: Int, most: Int, rate: Int, now: Instant) {
            queue = SharedQueue(capacity: places, most: most)
            bucket = TokenBucket(perSecond: rate, burst: LedgerQueue.batchOperations, now: now)
        }

        mutating func next(now: Instant) -> Event? {
            queue.count > 0 && bucket.take(now: now) ? queue.take()?.request : nil
        }
    }

    private var isTickDue = false
    private var announcements: [NodeID: UInt64] = [:]
    private var own: [Event] = []
    private var authorities = SharedQueue<Event>(capacity: 128, most: 4)
    private var nodes: Operations
    private var strangers: Operations

    init(now: Instant) {
        nodes = Operations(places: 256, most: 16, rate: 64, now: now)
        strangers = Operations(places: 128, most: 8, rate: 32, now: now)
    }

    /// The number of events that wait.
    var count: Int {
        (isTickDue ? 1 : 0) + announcements.count + own.count + authorities.count + nodes.queue.count
            + strangers.queue.count
    }

    /// Adds a tick; a batch contains at most one.
    mutating func tick() { isTickDue = true }

    /// Adds the height of a neighbour's chain; only the newest of each neighbour counts.
    mutating func announced(_ height: UInt64, by node: NodeID) { announcements[node] = height }

    /// Adds an event of this node: an answer to its question, or an operation; false if too many wait.
    mutating func post(_ event: Event) -> Bool {
        // Answers need no limit: there is at most one for each question of this node.
        let isAnswer = if case .answered = event { true } else { false }
        guard isAnswer || own.count < Self.ownLimit else { return false }
        own.append(event)
        return true
    }

    /// Adds a message of an authority about the next block; returns a message that finds no place, if any.
    mutating func ask(_ event: Event, byAuthority node: NodeID) -> Event? { authorities.add(event, from: .node(node)) }

    /// Adds an operation of another node or a client; returns an operation that finds no place, if any.
    mutating func submit(_ event: Event, by asker: Asker) -> Event? {
        switch asker {
        case .node: nodes.queue.add(event, from: asker)
        case .address: strangers.queue.add(event, from: asker)
        }
    }

    /// The next batch, in the order of its handling; empty if nothing waits, or only operations that exceed their rate.
    mutating func next(now: Instant) -> [Event] {
        var batch: [Event] = isTickDue ? [.tick] : []
        isTickDue = false
        batch += announcements.map { .announced($1, $0) }
        announcements = [:]
        var bytes = 0
        func fits(_ event: Event) -> Bool {
            defer { bytes += event.size }
            return bytes == 0 || bytes + event.size <= Self.batchBytes
        }
        let count = own.prefix(Self.batchEvents).prefix(while: fits).count
        batch += own.prefix(count)
        own.removeFirst(count)
        bytes = 0
        var taken = 0
        while taken < Self.batchEvents, let first = authorities.first, fits(first), let entry = authorities.take() {
            batch.append(entry.request)
            taken += 1
        }
        for _ in 0..<Self.batchOperations / 2 {
            if let event = nodes.next(now: now) { batch.append(event) }
            if let event = strangers.next(now: now) { batch.append(event) }
        }
        return batch
    }
}

extension LedgerWorker.Event {
    /// The bytes of the message that the event carries.
    var size: Int {
        switch self {
        case .asked(_, let body, _, _): body.count
        case .answered(_, let body, _): body?.count ?? 0
        case .tick, .announced, .submit: 0
        }
    }

    /// The responder of the message that the event carries; nil if it carries no request.
    var responder: ControlResponder? {
        if case .asked(_, _, _, let responder) = self { responder } else { nil }
    }
}

internal import Link
internal import Links
internal import Wire

/// What waits for the ledger's worker, and in which order it goes there.
///
/// What this node itself and the authorities have to say comes first. Operations that others hand in follow a few at a time,
/// at a bounded rate and with a share for each node and each address, so that nobody's flood delays a block.
struct LedgerQueue {
    typealias Event = LedgerWorker.Event

    /// The most events of one kind in one batch.
    static let batchEvents = 32
    /// The most bytes of messages of one kind in one batch, but one message always goes.
    static let batchBytes = 1 << 20
    /// The most operations of others in one batch.
    static let batchOperations = 4
    /// The most events of this node's own that wait.
    static let ownLimit = 4_096

    /// Operations that one kind of askers hands in.
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

    /// An empty queue.
    init(now: Instant) {
        nodes = Operations(places: 256, most: 16, rate: 64, now: now)
        strangers = Operations(places: 128, most: 8, rate: 32, now: now)
    }

    /// How many events wait.
    var count: Int {
        (isTickDue ? 1 : 0) + announcements.count + own.count + authorities.count + nodes.queue.count
            + strangers.queue.count
    }

    /// Time passes; once is enough for a batch.
    mutating func tick() { isTickDue = true }

    /// A neighbour's chain has this height; the newest word of each counts.
    mutating func announced(_ height: UInt64, by node: NodeID) { announcements[node] = height }

    /// Something of this node's own: an answer to a question, or an operation; false when too much waits.
    mutating func post(_ event: Event) -> Bool {
        // Answers are as many as this node's questions, and each ends one.
        let isAnswer = if case .answered = event { true } else { false }
        guard isAnswer || own.count < Self.ownLimit else { return false }
        own.append(event)
        return true
    }

    /// A message of an authority about the next block; returns one that finds no place.
    mutating func ask(_ event: Event, byAuthority node: NodeID) -> Event? { authorities.add(event, from: .node(node)) }

    /// An operation that another node or a stranger hands in; returns one that finds no place.
    mutating func submit(_ event: Event, by asker: Asker) -> Event? {
        switch asker {
        case .node: nodes.queue.add(event, from: asker)
        case .address: strangers.queue.add(event, from: asker)
        }
    }

    /// The next batch in the order in which it is to be handled; empty where nothing waits, or only what has no turn yet.
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
    /// Bytes of the message that the event brings.
    var size: Int {
        switch self {
        case .asked(_, let body, _, _): body.count
        case .answered(_, let body, _): body?.count ?? 0
        case .tick, .announced, .submit: 0
        }
    }

    /// Who waits for an answer to the event.
    var responder: ControlResponder? {
        if case .asked(_, _, _, let responder) = self { responder } else { nil }
    }
}

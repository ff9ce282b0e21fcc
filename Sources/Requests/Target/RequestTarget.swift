public import Onion
public import Wire

/// A node that opens and answers the requests of proxies (protocol.md, section 13.4).
///
/// Events and times go in, actions come out. Tickets are never used twice; events for a ticket that has ended have no
/// effect. The requests of one node get at most its share of every table, and nodes take turns.
///
/// It has more members than most types: limits, and a table or queue for each step of a request.
public struct RequestTarget: ~Copyable {
    /// The number of a request at this node.
    public typealias Ticket = UInt64

    /// A task for the owner.
    public enum Action {
        /// Answer the FORWARD message `message`.
        case answer(message: UInt64, [UInt8])
        /// Call `RequestEnvelope.open` on another thread, then `opened` with any result.
        case open(Ticket, OnionKeys.Key, envelope: [UInt8])
        /// Run the method, then call `performed`; `room` is the longest result in bytes.
        case perform(Ticket, RequestMethod, arguments: [UInt8], binding: Bytes32, room: Int)
        /// Pass the request to this node's own proxy for the node `for`, then call `relayed`.
        case relay(Ticket, RelayRequest, for: NodeID)
        /// Send ANSWER to a node.
        case send(NodeID, [UInt8])
    }

    /// The counters of a target.
    public struct Counters: Equatable, Sendable {
        /// FORWARD messages that arrived.
        public var received = 0
        /// Requests that were opened and answered.
        public var answered = 0
        /// Envelopes that were malformed, altered, or for another node.
        public var unreadable = 0
        /// Envelopes that were seen before.
        public var replayed = 0
        /// Requests that ended with the status busy.
        public var busy = 0
    }

    struct Entry {
        enum State {
            case queued(envelope: [UInt8], places: Int)
            case opening
            case performing(OpenedRequest)
        }

        let node: NodeID
        let id: UInt64
        let isRelayed: Bool
        var state: State
        /// The FORWARD message to answer; nil once the proxy was told that the answer comes later.
        var message: UInt64?
    }

    /// The state of one node here; kept until its bucket is full again, so that a new link brings no new tokens.
    struct Peer {
        var rate: TokenBucket
        var queue: [Ticket] = []
        /// The requests that are opened or run, in the order in which they left the queue.
        var atWork: [Ticket] = []
        var lastUsed: Instant

        var unanswered: Int { queue.count + atWork.count }
    }

    /// The deadlines, counted from the arrival of a request.
    struct Deadlines {
        var later = DeadlineQueue<Ticket>(RequestLimits.patience)
        var wait = DeadlineQueue<Ticket>(RequestLimits.queueTime)
        var end = DeadlineQueue<Ticket>(RequestLimits.answerTime)
    }

    let network: Bytes32
    let node: NodeID
    private var random: any RandomNumberGenerator & Sendable
    /// The node's onion keys; the owner replaces them when they rotate.
    public var keys: OnionKeys
    /// The node's signed descriptor, for clients that have an old key.
    public var descriptor: [UInt8]
    /// The counters since the start.
    public internal(set) var counters = Counters()
    var entries: [Ticket: Entry] = [:]
    var peers: [NodeID: Peer] = [:]
    var queued = Shares<NodeID>(capacity: RequestLimits.queuePlaces, most: RequestLimits.queuePlaces)
    var atWork = Shares<NodeID>(capacity: RequestLimits.atWork, most: RequestLimits.unanswered)
    /// The nodes with a queue, in the order of their turns.
    var turns: [NodeID] = []
    /// The requests that other threads open now.
    var opening: Set<Ticket> = []
    var rates: Rates
    var cache: BuildReplayCache
    var deadlines = Deadlines()
    private var lastTicket: Ticket = 0

    /// The rates of openings and of long answers.
    struct Rates {
        var openings: TokenBucket
        var largeAnswers: SharedRate<NodeID, Never>
        /// When the next token for an opening is due, while requests wait for one.
        var nextToken: Instant?
    }

    /// A target without requests that opens at most `requestsPerSecond` envelopes per second.
    ///
    /// `random` draws the salts of answers.
    public init(
        network: Bytes32, node: NodeID, keys: OnionKeys, descriptor: [UInt8],
        requestsPerSecond: Int = RequestLimits.openingsPerSecond, random: any RandomNumberGenerator & Sendable,
        now: Instant
    ) {
        self.random = random
        self.network = network
        self.node = node
        self.keys = keys
        self.descriptor = descriptor
        rates = Rates(
            openings: TokenBucket(perSecond: requestsPerSecond, burst: requestsPerSecond, now: now),
            largeAnswers: SharedRate(
                perSecond: RequestLimits.largeAnswers, burst: RequestLimits.largeAnswers, now: now))
        cache = BuildReplayCache(
            limit: RequestLimits.remembered(perSecond: requestsPerSecond),
            generation: RequestEnvelope.memory, now: now)
    }

    /// The number of requests without an answer.
    public var pending: Int { entries.count }

    /// The node that brought a request; nil if the request has ended.
    public func bringer(of ticket: Ticket) -> NodeID? { entries[ticket]?.node }

    /// When `advance` must be called next.
    public var nextDeadline: Instant? {
        [deadlines.later.first, deadlines.wait.first, deadlines.end.first, rates.nextToken].compactMap(\.self).min()
    }

    /// A new random salt for an answer, 16 bytes.
    mutating func salt() -> [UInt8] {
        var writer = ByteWriter(capacity: RequestEnvelope.saltSize)
        writer.u64(random.next())
        writer.u64(random.next())
        return writer.bytes
    }

    // MARK: Admission

    /// FORWARD arrived from `node`; `message` names it in the answer.
    public mutating func received(_ body: [UInt8], message: UInt64, from node: NodeID, now: Instant) -> [Action] {
        counters.received += 1
        guard let forward = try? ForwardMessage(decoding: body.rawSpan) else {
            counters.unreadable += 1
            return [Self.answer(message, .unreadable)]
        }
        guard !isRemembered(forward.envelope, now) else {
            counters.replayed += 1
            return [Self.answer(message, .unreadable)]
        }
        var actions: [Action] = []
        let places = RequestLimits.places(forward.envelope.count, of: RequestLimits.queuePlace)
        guard takeToken(of: node, now), makeRoom(places, for: node, &actions) else {
            counters.busy += 1
            return actions + [Self.answer(message, .busy(seconds: 1))]
        }
        lastTicket += 1
        let ticket = lastTicket
        entries[ticket] = Entry(
            node: node, id: forward.id, isRelayed: forward.isRelayed,
            state: .queued(envelope: forward.envelope, places: places), message: message)
        if peers[node]?.queue.isEmpty == true { turns.append(node) }
        peers[node]?.queue.append(ticket)
        deadlines.later.append(ticket, now: now)
        deadlines.wait.append(ticket, now: now)
        deadlines.end.append(ticket, now: now)
        dispatch(now, &actions)
        return actions
    }

    private mutating func isRemembered(_ envelope: [UInt8], _ now: Instant) -> Bool {
        let span = envelope.rawSpan
        return cache.contains(span.extracting(first: RequestEnvelope.openingSize), now: now)
    }

    /// Whether the node may ask now, by its rate and its number of unanswered requests.
    private mutating func takeToken(of node: NodeID, _ now: Instant) -> Bool {
        if peers[node] == nil {
            forgetIdlePeers(now)
            let rate = TokenBucket(
                perSecond: RequestLimits.forwardsPerNode, burst: RequestLimits.forwardsBurst, now: now)
            peers[node] = Peer(rate: rate, lastUsed: now)
        }
        peers[node]?.lastUsed = now
        guard let unanswered = peers[node]?.unanswered, unanswered < RequestLimits.unanswered else { return false }
        return peers[node]?.rate.take(now: now) ?? false
    }

    /// Removes nodes whose bucket is full again; the work is at most constant for each new node.
    private mutating func forgetIdlePeers(_ now: Instant) {
        guard peers.count >= 64, peers.count.nonzeroBitCount == 1 else { return }
        peers = peers.filter { $0.value.unanswered > 0 || now - $0.value.lastUsed < RequestLimits.peerMemory }
    }

    /// Takes places in the queue; if there are none, the node with the most loses its oldest request.
    private mutating func makeRoom(_ places: Int, for node: NodeID, _ actions: inout [Action]) -> Bool {
        while true {
            switch queued.take(for: node, places: places) {
            case .granted: return true
            case .makeRoom(let loser):
                guard let ticket = peers[loser]?.queue.first else { return false }
                end(ticket, .busy(seconds: 1), &actions)
            case .shareUsed, .full: return false
            }
        }
    }
}

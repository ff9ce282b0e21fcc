public import Link
public import Wire

/// A terminal that passes sealed requests of its sessions on to other nodes (protocol.md, section 13.4).
///
/// Events and times go in, actions come out. Each request ends once: with an answer, with an outer status in bounded
/// time, or with its session. Events for a request that has ended have no effect.
///
/// It has more members than most types: the tables of one request, which change together.
public struct RequestProxy {
    /// The number of a request at this proxy; never used twice.
    public typealias Ticket = UInt64

    /// The origin of requests, which gets one share however many sessions it has.
    public enum Origin: Hashable, Sendable {
        /// Sessions whose first path came over links of this source: a node, or a client's address.
        case link(LinkSource)
        /// A node, by RELAY.
        case relay(NodeID)
    }

    /// The source of a request: shares, rates and turns are divided by `origin`, and within it by `session`.
    public struct Source: Hashable, Sendable {
        /// The link or node that the requests came from.
        public let origin: Origin
        /// The number that the owner gave the session; 0 for RELAY.
        public let session: UInt64

        /// A session of `origin`, or a node that uses RELAY.
        public init(origin: Origin, session: UInt64) {
            self.origin = origin
            self.session = session
        }

        var limits: RequestLimits.Source {
            switch origin {
            case .link: .session
            case .relay: .node
            }
        }
    }

    /// The proxy's knowledge of a target when it is asked.
    public struct Knowledge: Hashable, Sendable {
        /// Whether the target is staked or suspended in one of the last three snapshots.
        public var isNode: Bool
        /// Whether there is a link to the target.
        public var hasLink: Bool

        /// The knowledge of the directory and the links.
        public init(isNode: Bool, hasLink: Bool) {
            self.isNode = isNode
            self.hasLink = hasLink
        }
    }

    /// The reason why there is no link.
    public enum LinkFault: Sendable {
        /// The node did not answer; it is not tried again for a while.
        case unanswered
        /// This node has its limit of links or handshakes; that is no fault of the other node.
        case limit
        /// No handshake with the node can begin.
        case unreachable
    }

    /// A task for the owner.
    public enum Action: Equatable {
        /// Answer the asker: write `encoded(for:)` to its stream and end it, or pass it to `RequestTarget.relayed`.
        case answer(asker: UInt64, OuterAnswer)
        /// Run a method for the session itself, then call `performed`.
        case perform(Ticket, RequestMethod, arguments: [UInt8], Source)
        /// Make a link, then call `linkUp` or `linkFailed`.
        case connect(NodeID)
        /// Send FORWARD, then call `forwarded` with its answer.
        case forward(Ticket, NodeID, [UInt8])
    }

    /// The counters of a proxy.
    public struct Counters: Equatable, Sendable {
        /// Requests that arrived, refused ones included.
        public var asked = 0
        /// Requests that were refused, or lost their place to others.
        public var refused = 0
        /// Requests that ended with their target's answer.
        public var answered = 0
        /// ANSWER messages and answers to FORWARD without a pending request.
        public var ignored = 0
    }

    struct Entry {
        enum State {
            case connecting(envelope: [UInt8])
            /// The request waits for its turn at the target.
            case waiting(envelope: [UInt8])
            case asked
            /// This node runs the method.
            case own
        }

        let source: Source
        /// The owner's name for the asker.
        let asker: UInt64
        let target: NodeID
        let id: UInt64
        let places: Int
        var state: State

        var key: AskedID { AskedID(node: target, id: id) }
    }

    struct AskedID: Hashable {
        let node: NodeID
        let id: UInt64
    }

    /// One source: its buckets, and its pending requests, oldest first.
    struct Asker {
        var rate: TokenBucket
        var bytes: TokenBucket
        var tickets: [Ticket] = []
        /// How many tokens of the proxy's rate it got, counted until it is no longer a newcomer.
        var admitted = 0
        /// Whether one of its requests has had a turn.
        var hadTurn = false
        var lastUsed: Instant
    }

    /// A handshake under way; it keeps its place until it ends, even if no request waits for it.
    struct Handshake {
        /// The source whose share holds its place.
        let source: Source
        /// When the handshake counts as unanswered.
        let until: Instant
        var tickets: [Ticket] = []
    }

    struct Deadlines {
        var handshake = DeadlineQueue<NodeID>(RequestLimits.linkTime)
        /// Requests that wait for a link, and for a turn.
        var link = DeadlineQueue<Ticket>(RequestLimits.linkTime)
        var answer = DeadlineQueue<Ticket>(RequestLimits.answerTime)
        /// All requests, oldest first, with the last deadline that each can have.
        var age = DeadlineQueue<Ticket>(RequestLimits.linkTime + RequestLimits.answerTime)
    }

    let node: NodeID
    var random: any RandomNumberGenerator & Sendable
    /// The counters since the start.
    public internal(set) var counters = Counters()
    var entries: [Ticket: Entry] = [:]
    /// The requests that are pending, or that still count at their targets.
    var asked: [AskedID: Ticket] = [:]
    /// The requests sent to targets and not answered, even if their askers no longer wait.
    var flights: [Ticket: AskedID] = [:]
    var askers: [Source: Asker] = [:]
    var places: RequestPlaces<Ticket>
    private var rate: RequestRate
    var handshakes: [NodeID: Handshake] = [:]
    var handshakePlaces = RequestPlaces<NodeID>(RequestLimits.handshakes, most: RequestLimits.handshakesOfSource)
    /// For each target the requests under way and the requests that wait.
    var queues: [NodeID: TargetQueue] = [:]
    /// The targets whose queues may go on, and from when.
    var movable = (targets: Set<NodeID>(), at: Instant?.none)
    var failures = Pauses<NodeID>(
        first: RequestLimits.failureMemory, longest: RequestLimits.failureMemory, capacity: RequestLimits.failures)
    var deadlines = Deadlines()
    private var lastTicket: Ticket = 0

    /// The proxy of `node` without requests; `random` draws the ids of FORWARD.
    public init(node: NodeID, random: any RandomNumberGenerator & Sendable, now: Instant) {
        self.init(node: node, random: random, places: RequestLimits.pendingPlaces, now: now)
    }

    init(node: NodeID, random: any RandomNumberGenerator & Sendable, places: Int, now: Instant) {
        self.node = node
        self.random = random
        self.places = RequestPlaces(places, most: places)
        rate = RequestRate(perSecond: RequestLimits.requestsPerSecond, now: now)
    }

    /// The number of requests without an answer.
    public var pending: Int { entries.count }

    /// When `advance` must be called next.
    public var nextDeadline: Instant? {
        [deadlines.handshake.first, deadlines.link.first, deadlines.answer.first, deadlines.age.first, movable.at]
            .compactMap(\.self).min()
    }

    // MARK: Asking

    /// A stream of a session has brought a whole request; nil if it cannot be read.
    ///
    /// `asker` names the stream in the answer; `link` is the source that the session counts for.
    public mutating func ask(
        _ request: RequestOpen?, asker: UInt64, from session: UInt64, over link: LinkSource, target: Knowledge,
        now: Instant
    ) -> [Action] {
        let source = Source(origin: .link(link), session: session)
        switch request {
        case .envelope(let envelope, let node):
            return ask(envelope, to: node, asker: asker, from: source, target: target, now: now)
        case .own(let raw, let arguments):
            var actions: [Action] = []
            guard admit(source, arguments.count, now, &actions) else { return actions + refuse(asker) }
            guard let method = RequestMethod(rawValue: raw) else {
                return actions + [.answer(asker: asker, .answer(RequestAnswer(.unknown).encoded()))]
            }
            guard method.isForOwnTerminal else {
                return actions + [.answer(asker: asker, .answer(RequestAnswer(.notAuthorised).encoded()))]
            }
            guard let ticket = enter(source, asker, node, arguments.count, .own, now, &actions) else {
                return actions + refuse(asker)
            }
            return actions + [.perform(ticket, method, arguments: arguments, source)]
        case nil:
            var actions: [Action] = []
            guard admit(source, 0, now, &actions) else { return actions + refuse(asker) }
            counters.refused += 1
            return actions + [.answer(asker: asker, .unreadable)]
        }
    }

    /// A node has asked by RELAY; `asker` is the ticket at `RequestTarget`.
    public mutating func relay(
        _ request: RelayRequest, asker: UInt64, for node: NodeID, target: Knowledge, now: Instant
    ) -> [Action] {
        ask(
            request.envelope, to: request.target, asker: asker, from: Source(origin: .relay(node), session: 0),
            target: target, now: now)
    }

    private mutating func ask(
        _ envelope: [UInt8], to target: NodeID, asker: UInt64, from source: Source, target known: Knowledge,
        now: Instant
    ) -> [Action] {
        var actions: [Action] = []
        guard admit(source, envelope.count, now, &actions) else { return actions + refuse(asker) }
        guard known.isNode, target != node else { return actions + [.answer(asker: asker, .unknownTarget)] }
        guard known.hasLink || !failures.isPaused(target, now: Self.milliseconds(now)) else {
            return actions + [.answer(asker: asker, .noLink)]
        }
        guard
            let ticket = enter(
                source, asker, target, envelope.count, .connecting(envelope: envelope), now, &actions)
        else { return actions + refuse(asker) }
        if known.hasLink {
            deadlines.link.append(ticket, now: now)
            enqueue(ticket, now)
            advanceQueue(of: target, now, &actions)
        } else if connect(ticket, target, source, now, &actions) {
            deadlines.link.append(ticket, now: now)
        } else {
            counters.refused += 1
            end(ticket, .tooMany, &actions)
        }
        return actions
    }

    private mutating func refuse(_ asker: UInt64) -> [Action] {
        counters.refused += 1
        return [.answer(asker: asker, .tooMany)]
    }

    /// Whether the rates of the source and of the proxy allow a request of `size` bytes.
    private mutating func admit(_ source: Source, _ size: Int, _ now: Instant, _ actions: inout [Action]) -> Bool {
        counters.asked += 1
        let limits = source.limits
        if askers[source] == nil {
            forgetIdleAskers(now)
            askers[source] = Asker(
                rate: TokenBucket(perSecond: limits.perSecond, burst: limits.burst, now: now),
                bytes: TokenBucket(perSecond: limits.bytesPerSecond, burst: limits.bytesBurst, now: now),
                lastUsed: now)
        }
        guard var asker = askers[source], asker.tickets.count < limits.pending else { return false }
        asker.lastUsed = now
        let isAllowed = asker.rate.take(now: now) && asker.bytes.take(size, now: now)
        askers[source] = asker
        let isNew = asker.admitted < RequestLimits.newcomersRequests
        guard isAllowed, rate.take(source, isNew: isNew, now) else { return false }
        if isNew { askers[source]?.admitted += 1 }
        return true
    }

    /// Removes sources whose buckets are full again; the work is at most constant for each new source.
    private mutating func forgetIdleAskers(_ now: Instant) {
        guard askers.count >= 256, askers.count.nonzeroBitCount == 1 else { return }
        askers = askers.filter { !$0.value.tickets.isEmpty || now - $0.value.lastUsed < RequestLimits.sourceMemory }
    }

    /// Adds a request with its places and an id that no other pending request to `target` has; nil if there is no room.
    private mutating func enter(
        _ source: Source, _ asker: UInt64, _ target: NodeID, _ size: Int, _ state: Entry.State, _ now: Instant,
        _ actions: inout [Action]
    ) -> Ticket? {
        let count = RequestLimits.places(size, of: RequestLimits.pendingPlace)
        guard makeRoom(count, for: source, now, &actions) else { return nil }
        var id = random.next()
        while asked[AskedID(node: target, id: id)] != nil { id &+= 1 }
        lastTicket += 1
        let entry = Entry(source: source, asker: asker, target: target, id: id, places: count, state: state)
        entries[lastTicket] = entry
        asked[entry.key] = lastTicket
        askers[source]?.tickets.append(lastTicket)
        deadlines.age.append(lastTicket, now: now)
        places.entered(lastTicket, of: source, now) { entries[$0] != nil }
        return lastTicket
    }

    /// Takes places for a pending request; other requests may give way.
    private mutating func makeRoom(
        _ count: Int, for source: Source, _ now: Instant, _ actions: inout [Action]
    ) -> Bool {
        while true {
            switch places.take(count, for: source, now) {
            case .granted: return true
            case .makeRoom(let loser):
                guard let ticket = askers[loser]?.tickets.first else { return false }
                lose(ticket, &actions)
            case .replace(let ticket): if entries[ticket] != nil { lose(ticket, &actions) }
            case .full: return false
            }
        }
    }

    private mutating func lose(_ ticket: Ticket, _ actions: inout [Action]) {
        counters.refused += 1
        end(ticket, .tooMany, &actions)
    }

    static func milliseconds(_ now: Instant) -> UInt64 { now.nanoseconds / 1_000_000 }
}

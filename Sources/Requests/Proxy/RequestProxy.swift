public import Link
public import Wire

/// A terminal that passes sealed requests of its sessions on to other nodes (protocol.md, section 13.4).
///
/// Events and times go in, actions come out. Each request ends once: with an answer, with an outer status in bounded
/// time, or with its session. What comes for a request that has ended has no effect.
public struct RequestProxy {
    /// Numbers a request at this proxy; never used twice.
    public typealias Ticket = UInt64

    /// Where requests come from, which has its share whatever the number of its sessions.
    public enum Origin: Hashable, Sendable {
        /// Sessions whose first path came over links of this peer: a node, or a client's address.
        case link(LinkSource)
        /// A node, by RELAY.
        case relay(NodeID)
    }

    /// Who asks: shares, rates and turns go by `origin`, and in it by `session`.
    public struct Source: Hashable, Sendable {
        /// Where it comes from.
        public let origin: Origin
        /// The owner's number of the session; 0 for RELAY.
        public let session: UInt64

        /// This session, or RELAY.
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

    /// What the proxy knows of a target when it is asked.
    public struct Knowledge: Hashable, Sendable {
        /// Whether one of the last three snapshots has it as staked or suspended.
        public var isNode: Bool
        /// Whether there is a link to it.
        public var hasLink: Bool

        /// What the directory and the links say.
        public init(isNode: Bool, hasLink: Bool) {
            self.isNode = isNode
            self.hasLink = hasLink
        }
    }

    /// Why there is no link.
    public enum LinkFault: Sendable {
        /// The node did not answer: it rests for a while.
        case unanswered
        /// This node has as many links or handshakes as it may: that says nothing of the other one.
        case limit
        /// There is no way to begin a handshake with it.
        case unreachable
    }

    /// What the owner has to do.
    public enum Action: Equatable {
        /// Tell the asker: write `encoded(for:)` to its stream and end it, or hand it to `RequestTarget.relayed`.
        case answer(asker: UInt64, OuterAnswer)
        /// Run a method for the session itself, and then call `performed`.
        case perform(Ticket, RequestMethod, arguments: [UInt8], Source)
        /// Make a link, and then call `linkUp` or `linkFailed`.
        case connect(NodeID)
        /// Send FORWARD, and then call `forwarded` with its answer.
        case forward(Ticket, NodeID, [UInt8])
    }

    /// What a proxy counts.
    public struct Counters: Equatable, Sendable {
        /// Requests that were asked.
        public var asked = 0
        /// Requests that were refused, or lost their place to others.
        public var refused = 0
        /// Requests that ended with an answer of their target.
        public var answered = 0
        /// ANSWER messages, and answers to FORWARD, that nobody waits for.
        public var ignored = 0
    }

    struct Entry {
        enum State {
            case connecting(envelope: [UInt8])
            /// It waits for its turn at the target.
            case waiting(envelope: [UInt8])
            case asked
            /// This node runs the method.
            case own
        }

        let source: Source
        /// The owner's name of who waits.
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

    /// One source: its buckets, and its pending requests from the oldest on.
    struct Asker {
        var rate: TokenBucket
        var bytes: TokenBucket
        var tickets: [Ticket] = []
        /// How many tokens of the proxy's rate it got, as far as that makes a newcomer of it.
        var admitted = 0
        /// Whether one of its requests had a turn.
        var hadTurn = false
        var lastUsed: Instant
    }

    /// A handshake that was begun; it keeps its place until it ends, whether anybody waits for it or not.
    struct Handshake {
        /// The source whose share it takes.
        let source: Source
        /// When it counts as unanswered.
        let until: Instant
        var tickets: [Ticket] = []
    }

    struct Deadlines {
        var handshake = DeadlineQueue<NodeID>(RequestLimits.linkTime)
        /// The wait for a link and for a turn.
        var link = DeadlineQueue<Ticket>(RequestLimits.linkTime)
        var answer = DeadlineQueue<Ticket>(RequestLimits.answerTime)
        /// All requests from the oldest on; the deadline is the last for each.
        var age = DeadlineQueue<Ticket>(RequestLimits.linkTime + RequestLimits.answerTime)
    }

    let node: NodeID
    var random: any RandomNumberGenerator & Sendable
    /// What was counted.
    public internal(set) var counters = Counters()
    var entries: [Ticket: Entry] = [:]
    /// The requests that are pending, or that their targets still count.
    var asked: [AskedID: Ticket] = [:]
    /// The requests that targets have and have not answered, whether anybody waits for them or not.
    var flights: [Ticket: AskedID] = [:]
    var askers: [Source: Asker] = [:]
    var places: RequestPlaces<Ticket>
    private var rate: RequestRate
    var handshakes: [NodeID: Handshake] = [:]
    var handshakePlaces = RequestPlaces<NodeID>(RequestLimits.handshakes, most: RequestLimits.handshakesOfSource)
    /// What each target is asked, and what waits for it.
    var lines: [NodeID: Line] = [:]
    /// The targets whose lines may go on, and when.
    var movable = (targets: Set<NodeID>(), at: Instant?.none)
    var failures = Pauses<NodeID>(
        first: RequestLimits.failureMemory, longest: RequestLimits.failureMemory, capacity: RequestLimits.failures)
    var deadlines = Deadlines()
    private var lastTicket: Ticket = 0

    /// The proxy of `node`, without requests; `random` draws the ids of FORWARD.
    public init(node: NodeID, random: any RandomNumberGenerator & Sendable, now: Instant) {
        self.init(node: node, random: random, places: RequestLimits.pendingPlaces, now: now)
    }

    init(node: NodeID, random: any RandomNumberGenerator & Sendable, places: Int, now: Instant) {
        self.node = node
        self.random = random
        self.places = RequestPlaces(places, most: places)
        rate = RequestRate(perSecond: RequestLimits.requestsPerSecond, now: now)
    }

    /// How many requests have no answer yet.
    public var pending: Int { entries.count }

    /// When `advance` is to be called next.
    public var nextDeadline: Instant? {
        [deadlines.handshake.first, deadlines.link.first, deadlines.answer.first, deadlines.age.first, movable.at]
            .compactMap(\.self).min()
    }

    // MARK: Asking

    /// A stream of a session has brought a whole request; nil is one that cannot be read.
    ///
    /// `asker` names the stream in the answer; `link` is whom the session counts for.
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

    /// A node has asked by RELAY; `asker` is the target's ticket.
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
            line(up: ticket, now)
            advanceLine(of: target, now, &actions)
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

    /// Removes sources whose buckets are full again; the work is at most a constant for each new source.
    private mutating func forgetIdleAskers(_ now: Instant) {
        guard askers.count >= 256, askers.count.nonzeroBitCount == 1 else { return }
        askers = askers.filter { !$0.value.tickets.isEmpty || now - $0.value.lastUsed < RequestLimits.sourceMemory }
    }

    /// A ticket with its place, and an id that no pending request to `target` has.
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

    /// Makes room among the pending requests.
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

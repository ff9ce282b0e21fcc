public import Onion
public import Wire

/// A client's requests: which target and proxy to ask, when to ask another, and when to give up (protocol.md, section
/// 13.6).
///
/// Events and times go in, actions come out. A proxy session serves one purpose and one target, so that no proxy sees
/// two boxes or services together. Each call ends once, at most 10 s after it began.
public struct RequestClient {
    /// The number of a call, a session or an attempt; no number is used twice.
    public typealias Number = UInt64

    /// The purpose of a request; requests of different purposes share no session.
    public enum Purpose: Hashable, Sendable {
        /// Reading and writing one box.
        case box(Bytes32)
        /// The descriptor of one service.
        case service(Bytes32)
        /// The state of one node, for diagnosis.
        case state(NodeID)
        /// Descriptors of nodes.
        case descriptors
        /// One introduction point of one service.
        case introduction(service: Bytes32, node: NodeID)
    }

    /// A purpose within an isolation key; the owner numbers the keys.
    public struct Scope: Hashable, Sendable {
        /// The number that the owner gave the isolation key.
        public let isolation: UInt64
        /// The subject of the requests; each purpose has sessions of its own.
        public let purpose: Purpose

        /// The scope of `purpose` for the key with the number `isolation`.
        public init(isolation: UInt64, purpose: Purpose) {
            self.isolation = isolation
            self.purpose = purpose
        }
    }

    /// A node that can answer a call.
    public struct Target: Sendable {
        /// The node's id.
        public let node: NodeID
        /// The node's onion public key.
        public let onionKey: [UInt8]

        /// A node with the onion key of its descriptor.
        public init(node: NodeID, onionKey: [UInt8]) {
            self.node = node
            self.onionKey = onionKey
        }
    }

    /// A request to any of several targets.
    public struct Call: Sendable {
        /// The scope whose sessions the call uses.
        public let scope: Scope
        /// The method that the target runs.
        public let method: RequestMethod
        /// The arguments for the binding of a request; called for each attempt.
        public let arguments: @Sendable (Bytes32) -> [UInt8]
        /// The nodes that can answer, in any order.
        public let targets: [Target]
        /// The swarm of the box: its nodes are proxies only if there are no others.
        public let swarm: Set<NodeID>

        /// A call for `method`; `arguments` gets the binding of each attempt.
        public init(
            scope: Scope, method: RequestMethod, targets: [Target], swarm: Set<NodeID> = [],
            arguments: @escaping @Sendable (Bytes32) -> [UInt8]
        ) {
            self.scope = scope
            self.method = method
            self.targets = targets
            self.swarm = swarm
            self.arguments = arguments
        }
    }

    /// The result of a call.
    public enum Outcome: Equatable, Sendable {
        /// The target's answer, and the binding of the request that it answers.
        case answered(RequestAnswer, by: NodeID, binding: Bytes32)
        /// No answer came; this is the last status that a proxy gave, which is only a hint.
        case refused(OuterStatus)
        /// No answer came in time.
        case timedOut
        /// No proxy can be drawn, or no session with one could be made.
        case noProxy
        /// The client has its limit of calls, or the isolation key has its share.
        case tooMany
    }

    /// A task for the owner.
    public enum Action: Sendable {
        /// Build a path to `proxy` and a session on it for this scope only, then call `sessionReady` or `sessionEnded`.
        case openSession(Number, proxy: NodeID)
        /// Close a session.
        case closeSession(Number)
        /// Open a stream in the session, write the request and end it, then call `received` with all bytes of the
        /// reply.
        case send(attempt: Number, session: Number, [UInt8])
        /// Reset the stream of an attempt, if there is one.
        case cancel(attempt: Number)
        /// Check a target's new descriptor (protocol.md, section 10.5), then call `keyChecked`.
        case checkDescriptor(attempt: Number, NodeID, [UInt8])
        /// A call has ended.
        case finished(call: Number, Outcome)
    }

    struct CallState {
        let call: Call
        let size: RequestClass
        let started: Instant
        var attempts: Set<Number> = []
        var attemptCount = 0
        /// Targets that were busy or could not be asked.
        var avoidedTargets: Set<NodeID> = []
        /// Proxies of attempts that failed.
        var avoidedProxies: Set<NodeID> = []
        /// Proxies with which no session could be made; they are drawn last.
        var missedProxies: Set<NodeID> = []
        /// The number of sessions that could not be made.
        var misses = 0
        /// Whether the request was sent on a session.
        var isSent = false
        var lastHint: OuterStatus?
        /// When the next attempt is made, if no answer arrives before.
        var nextAttempt: Instant
    }

    struct Attempt {
        enum State {
            /// The session is not ready yet.
            case waiting
            case sent(SealedRequest, Instant)
            /// The owner checks the target's new descriptor.
            case checking
        }

        let call: Number
        let session: Number
        var target: Target
        var state: State
        /// Whether the request was sealed to the key of a new descriptor.
        var hasNewKey = false
    }

    struct Session {
        let scope: Scope
        let target: NodeID
        let proxy: NodeID
        let ends: Instant
        var isReady = false
        var failuresInRow = 0
        var attempts: Set<Number> = []
        var lastUsed: Instant
    }

    /// How long a call may take.
    public static let callTime = TimeSpan.seconds(10)
    /// How long a session may take to become ready before another is asked for.
    static let openingTime = TimeSpan.seconds(3)
    static let shortestHedge = TimeSpan.milliseconds(600)
    /// How long a session accepts new requests.
    public static let sessionLife = TimeSpan.seconds(15 * 60)
    /// How long a session without requests stays open; a client that reads a box asks again within about a minute.
    public static let idleTime = TimeSpan.seconds(2 * 60)
    /// The wait after a proxy or target that is overloaded.
    static let pause = TimeSpan.seconds(1)
    /// The waits of a call after its first, second, third and each further session that could not be made.
    static let missPauses: [TimeSpan] = [.milliseconds(250), .milliseconds(500), .seconds(1), .seconds(2)]
    /// The draws for one session; if all of these proxies cannot be reached, the call waits.
    static let draws = 16
    static let attemptsAtOnce = 3
    /// The failures in a row after which a proxy is no longer used.
    static let failures = 2
    static let attemptsOfCall = 8
    /// The most calls at once.
    public static let calls = 256
    /// The most calls of one isolation key while other keys have calls.
    public static let callsOfIsolation = 64
    /// The most idle sessions.
    static let idleSessions = 64
    /// The number of sessions from which a call with an attempt under way gets no further session.
    ///
    /// The most sessions are 576: one for each of 256 calls, 64 idle ones, and these 256.
    static let sessionsForMore = 256

    let network: Bytes32
    let source: BuildSource
    var random: any RandomNumberGenerator & Sendable
    /// The staked nodes of the newest snapshot.
    public var nodes: [RequestNode] = []
    let reach: (_ target: NodeID) -> ((_ proxy: NodeID) -> Bool)?
    var calls: [Number: CallState] = [:]
    var attempts: [Number: Attempt] = [:]
    var sessions: [Number: Session] = [:]
    var shares = Shares<UInt64>(capacity: Self.calls, most: Self.callsOfIsolation)
    var times = AnswerTimes()
    /// Proxies that failed twice in a row, and their pauses in milliseconds.
    var dropped = Pauses<NodeID>(first: 600_000, longest: 7_200_000, capacity: 256)
    private var last: Number = 0

    /// A client of `network` without calls.
    ///
    /// For a target, `reach` returns a function that tells whether a node can be its proxy now. It returns nil if no
    /// node can, and the request must wait.
    public init(
        network: Bytes32, random: any RandomNumberGenerator & Sendable, source: BuildSource = .system,
        reach: @escaping (_ target: NodeID) -> ((_ proxy: NodeID) -> Bool)?
    ) {
        self.reach = reach
        self.network = network
        self.random = random
        self.source = source
    }

    /// The target of a session's requests; nil if the session has ended.
    public func target(ofSession number: Number) -> NodeID? { sessions[number]?.target }

    /// The sessions of these isolation keys, or of all if nil, ready or not.
    public func sessions(of isolations: Set<UInt64>?) -> [Number] {
        sessions.filter { isolations?.contains($0.value.scope.isolation) ?? true }.keys.sorted()
    }

    /// The scopes of the sessions, ready or not, in the order in which they were asked for.
    public var scopes: [Scope] { sessions.keys.sorted().compactMap { sessions[$0]?.scope } }

    /// The number of calls that have not ended.
    public var pending: Int { calls.count }

    mutating func number() -> Number {
        last += 1
        return last
    }

    // MARK: Calls

    /// Begins a call; returns the number that `finished` will have.
    public mutating func ask(_ call: Call, now: Instant, time: UnixTime) -> (call: Number, actions: [Action]) {
        var actions: [Action] = []
        let number = number()
        let isolation = call.scope.isolation
        precondition(!call.targets.isEmpty, "a call has a target")
        admission: while true {
            switch shares.take(for: isolation) {
            case .granted: break admission
            case .makeRoom(let loser):
                guard let oldest = calls.filter({ $0.value.call.scope.isolation == loser }).keys.min() else {
                    return (number, [.finished(call: number, .tooMany)])
                }
                finish(oldest, .tooMany, now, &actions)
            case .shareUsed, .full: return (number, actions + [.finished(call: number, .tooMany)])
            }
        }
        let length = RequestEnvelope.headSize + call.arguments(Bytes32()).count
        calls[number] = CallState(
            call: call, size: RequestClass(holding: length) ?? .bytes65792, started: now, nextAttempt: now)
        attempt(number, now, time, &actions)
        return (number, actions)
    }

    /// Ends a call without a result, because its caller no longer waits.
    public mutating func cancel(_ call: Number, now: Instant) -> [Action] {
        var actions: [Action] = []
        guard calls[call] != nil else { return actions }
        remove(call, now, &actions)
        return actions
    }

    mutating func finish(_ number: Number, _ outcome: Outcome, _ now: Instant, _ actions: inout [Action]) {
        guard calls[number] != nil else { return }
        remove(number, now, &actions)
        actions.append(.finished(call: number, outcome))
    }

    private mutating func remove(_ number: Number, _ now: Instant, _ actions: inout [Action]) {
        guard let call = calls.removeValue(forKey: number) else { return }
        shares.release(call.call.scope.isolation)
        for attempt in call.attempts.sorted() {
            actions.append(.cancel(attempt: attempt))
            noteSilence(attempt, now)
            removeAttempt(attempt, now)
        }
        closeIdleSessions(now, &actions)
    }

    mutating func removeAttempt(_ number: Number, _ now: Instant) {
        guard let attempt = attempts.removeValue(forKey: number) else { return }
        calls[attempt.call]?.attempts.remove(number)
        sessions[attempt.session]?.attempts.remove(number)
        sessions[attempt.session]?.lastUsed = now
    }
}

public import Onion
public import Wire

/// A client's requests: which target and proxy to ask, when to ask another, and when to give up (protocol.md, section
/// 13.6).
///
/// Events and times go in, actions come out. A proxy session serves one purpose and one target, so no proxy sees two
/// boxes or services together. Each call ends once, at the latest 10 s after it began.
public struct RequestClient {
    /// Numbers calls, sessions and attempts; no number is used twice.
    public typealias Number = UInt64

    /// What a request is for; requests of different purposes share no session.
    public enum Purpose: Hashable, Sendable {
        /// Reading or writing one box.
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

    /// A purpose within an isolation key, which the owner numbers.
    public struct Scope: Hashable, Sendable {
        /// The isolation key.
        public let isolation: UInt64
        /// The purpose.
        public let purpose: Purpose

        /// A purpose of an isolation key.
        public init(isolation: UInt64, purpose: Purpose) {
            self.isolation = isolation
            self.purpose = purpose
        }
    }

    /// A node that can answer.
    public struct Target: Sendable {
        /// Its id.
        public let node: NodeID
        /// Its onion public key.
        public let onionKey: [UInt8]

        /// A node with the key of its descriptor.
        public init(node: NodeID, onionKey: [UInt8]) {
            self.node = node
            self.onionKey = onionKey
        }
    }

    /// What is asked.
    public struct Call: Sendable {
        /// What it is for.
        public let scope: Scope
        /// The method.
        public let method: RequestMethod
        /// The arguments for a request's binding; called for each attempt.
        public let arguments: @Sendable (Bytes32) -> [UInt8]
        /// The nodes that can answer, in no order.
        public let targets: [Target]
        /// The swarm of the box: no proxy is drawn from it, as long as there are others.
        public let swarm: Set<NodeID>

        /// A call; `arguments` gets the binding of each attempt.
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

    /// How a call ends.
    public enum Outcome: Equatable, Sendable {
        /// The target's answer, to the request of this binding.
        case answered(RequestAnswer, by: NodeID, binding: Bytes32)
        /// Proxies said this last, which is a hint only.
        case refused(OuterStatus)
        /// No answer came in time.
        case timedOut
        /// No proxy can be drawn, or no session with one could be had.
        case noProxy
        /// The client has its limit of calls, and the isolation key its share.
        case tooMany
    }

    /// What the owner has to do.
    public enum Action: Sendable {
        /// Build a path to `proxy` and a session on it for this scope only; then `sessionReady` or `sessionEnded`.
        case openSession(Number, proxy: NodeID)
        /// Close a session.
        case closeSession(Number)
        /// Open a stream in the session, write the request, end it; then `received` with all that comes back.
        case send(attempt: Number, session: Number, [UInt8])
        /// Reset the stream of an attempt, if there is one.
        case cancel(attempt: Number)
        /// Check a target's new descriptor by protocol.md, section 10.5, then `keyChecked`.
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
        /// Proxies with which no session could be had: others come before them.
        var missedProxies: Set<NodeID> = []
        /// How many sessions could not be had.
        var misses = 0
        /// Whether a session has taken the request.
        var isSent = false
        var lastHint: OuterStatus?
        /// When another attempt is made, if no answer comes before.
        var nextAttempt: Instant
    }

    struct Attempt {
        enum State {
            /// The session is not ready.
            case waiting
            case sent(SealedRequest, Instant)
            /// The target's new descriptor is checked.
            case checking
        }

        let call: Number
        let session: Number
        var target: Target
        var state: State
        /// Whether it was sealed to a key of a second descriptor.
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
    /// How long a session takes new requests.
    public static let sessionLife = TimeSpan.seconds(15 * 60)
    /// How long a session is kept that no request uses: whoever reads a box asks again within a minute or so.
    public static let idleTime = TimeSpan.seconds(2 * 60)
    /// The wait after a proxy that has too much to do.
    static let pause = TimeSpan.seconds(1)
    /// The waits of a call after its first, second and further sessions that could not be had: eight in its time.
    static let missPauses: [TimeSpan] = [.milliseconds(250), .milliseconds(500), .seconds(1), .seconds(2)]
    /// The draws for one session: where so many proxies cannot be reached, it has to wait.
    static let draws = 16
    static let attemptsAtOnce = 3
    /// The failures in a row after which a proxy is dropped.
    static let failures = 2
    static let attemptsOfCall = 8
    /// The most calls at once.
    public static let calls = 256
    /// The most calls of an isolation key, while others have some too.
    public static let callsOfIsolation = 64
    /// The idle sessions that are kept.
    static let idleSessions = 64
    /// The sessions at which a call that has an attempt under way gets no other one.
    ///
    /// With one for each call and the idle ones, 576 are the most.
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
    /// Proxies that failed twice in a row, in milliseconds.
    var dropped = Pauses<NodeID>(first: 600_000, longest: 7_200_000, capacity: 256)
    private var last: Number = 0

    /// A client of `network` without calls.
    ///
    /// `reach` tells which nodes can be the proxy of a request for a target now; nil where none can, and the request has to wait.
    public init(
        network: Bytes32, random: any RandomNumberGenerator & Sendable, source: BuildSource = .system,
        reach: @escaping (_ target: NodeID) -> ((_ proxy: NodeID) -> Bool)?
    ) {
        self.reach = reach
        self.network = network
        self.random = random
        self.source = source
    }

    /// Whom a session's requests are for; nil for a session that has ended.
    public func target(ofSession number: Number) -> NodeID? { sessions[number]?.target }

    /// How many calls have not ended.
    public var pending: Int { calls.count }

    mutating func number() -> Number {
        last += 1
        return last
    }

    // MARK: Calls

    /// Begins a call; its number is that of `finished`.
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

    /// Nobody waits for a call any more.
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

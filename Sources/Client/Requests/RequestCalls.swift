internal import Directory
internal import EventLoop
internal import OnionCrypto
internal import Requests
internal import Sessions
internal import Transport
internal import Wire

/// The onion requests of a client (protocol.md, section 13.6).
///
/// `RequestClient` decides which target to ask, through which proxy, and when to try again. This class builds the paths
/// and carries the bytes. A path of an app's session is never used here.
final class RequestCalls {
    typealias Number = RequestClient.Number

    /// A build that takes longer makes other builds use another guard; without a dead hop a build takes less than this.
    private static let slowBuild = TimeSpan.seconds(1)

    private enum Opening {
        /// No guard accepts a build now; the next tick tries again.
        case wanted(NodeID)
        /// A build over this guard since then; the guard is nil until the hops are chosen.
        case building(NodeID?, since: Instant)
        case ready(RequestSession)
    }

    private let pool: PathPool
    private let turn: SessionTurn
    private var client: RequestClient
    private var sessions: [Number: Opening] = [:]
    private var attempts: [Number: StreamExchange] = [:]
    private var waiting: [Number: (RequestClient.Outcome) -> Void] = [:]
    private var timer: LoopTimer?
    /// The actions that are still to be performed, in order.
    private var actions: [RequestClient.Action] = []
    private var isActing = false

    init(pool: PathPool, loop: Loop) {
        self.pool = pool
        turn = SessionTurn(loop: loop)
        client = RequestClient(network: pool.directory.network.id, random: SecureRandom()) { [pool] in
            pool.directory.reach(for: $0, hops: pool.hops)
        }
        loop.addAtTurnEnd { [turn] in turn.run() }
        timer = LoopTimer(on: loop) { [weak self] in
            guard let self else { return }
            perform(client.advance(now, time: time))
        }
    }

    private var directory: DirectoryClient { pool.directory }
    private var now: Instant { pool.now }
    private var time: UnixTime { directory.time }

    /// How many requests have no answer yet.
    var pending: Int { client.pending }
    /// How many sessions there are for requests.
    var sessionCount: Int { sessions.count }
    /// The hops of the sessions that are ready, in the order in which they were asked for.
    var openHops: [[NodeID]] {
        sessions.keys.sorted().compactMap { if case .ready(let session)? = sessions[$0] { session.hops } else { nil } }
    }
    /// The guards of the paths for requests, built or not.
    var guards: Set<NodeID> {
        Set(
            sessions.values.compactMap { opening in
                switch opening {
                case .wanted: nil
                case .building(let entry, _): entry
                case .ready(let session): session.entry
                }
            })
    }
    /// Statistics of the requests.
    private(set) var counts = RequestCounts()

    // MARK: Calls

    /// Begins a request; `done` is called once, at the latest 10 s later, and perhaps inside this call.
    func ask(_ call: RequestClient.Call, done: @escaping (RequestClient.Outcome) -> Void) {
        guard timer != nil else { return done(.noProxy) }
        counts.begun += 1
        client.nodes = directory.proxies
        let (number, actions) = client.ask(call, now: now, time: time)
        waiting[number] = done
        perform(actions)
    }

    /// Builds the paths that wait for a guard; to be called several times a second.
    func tick() {
        for number in sessions.keys.sorted() {
            if case .wanted(let proxy)? = sessions[number] { build(number, to: proxy) }
        }
    }

    /// Ends the sessions over nodes that the user's choice no longer allows; their requests go over other proxies.
    func choiceChanged() {
        for number in sessions.keys.sorted() {
            guard case .ready(let session)? = sessions[number], !directory.mayUse(session.hops, to: .any) else {
                continue
            }
            session.end()
            ended(number)
        }
    }

    /// Ends all requests and sessions; later requests fail.
    func close() {
        timer?.close()
        timer = nil
        actions = []
        for attempt in attempts.values { attempt.cancel() }
        attempts = [:]
        let open = sessions
        sessions = [:]
        for case .ready(let session) in open.values { session.end() }
        let left = waiting
        waiting = [:]
        for done in left.values { done(.noProxy) }
    }

    // MARK: Actions

    /// Performs `new` actions; the actions that follow from one are performed after all earlier ones.
    private func perform(_ new: [RequestClient.Action]) {
        actions.append(contentsOf: new)
        guard !isActing else { return }
        isActing = true
        var next = 0
        while next < actions.count {
            let action = actions[next]
            next += 1
            perform(action)
        }
        actions = []
        isActing = false
        guard let timer else { return }
        if let next = client.nextDeadline { timer.schedule(at: next.nanoseconds) } else { timer.cancel() }
    }

    private func perform(_ action: RequestClient.Action) {
        switch action {
        case .openSession(let number, let proxy): build(number, to: proxy)
        case .closeSession(let number):
            if case .ready(let session)? = sessions.removeValue(forKey: number) { session.end() }
        case .send(let attempt, let session, let bytes): send(attempt, session, bytes)
        case .cancel(let attempt): attempts.removeValue(forKey: attempt)?.cancel()
        case .checkDescriptor(let attempt, let node, let bytes):
            let key = directory.onionKey(of: node, in: bytes)
            perform(client.keyChecked(attempt, key, now: now, time: time))
        case .finished(let call, let outcome):
            counts.ended(outcome)
            waiting.removeValue(forKey: call)?(outcome)
        }
    }

    private func send(_ attempt: Number, _ session: Number, _ bytes: [UInt8]) {
        guard case .ready(let open)? = sessions[session] else { return }
        do throws(StreamError) {
            attempts[attempt] = try StreamExchange(bytes, on: open.session, longest: OuterAnswer.longestForClient) {
                [weak self] answer in
                self?.received(attempt, answer)
            }
        } catch {
            // The proxy accepts no more streams of this session.
            received(attempt, nil)
        }
    }

    private func received(_ attempt: Number, _ answer: [UInt8]?) {
        attempts[attempt] = nil
        perform(client.received(attempt, answer, now: now, time: time))
    }

    // MARK: Sessions

    /// Builds the path of a session over a guard in use; the target of its requests is not a hop.
    private func build(_ number: Number, to proxy: NodeID) {
        guard let target = client.target(ofSession: number) else { return sessions[number] = nil }
        guard directory.reach(for: target, hops: pool.hops)?(proxy) == true else { return ended(number) }
        let guards = pool.hops > 1 ? directory.requestGuards(for: target) : nil
        let now = now
        let slow = sessions.values.compactMap { opening in
            if case .building(let entry?, let since) = opening, now - since >= Self.slowBuild { entry } else { nil }
        }
        // The guard that is passed over is better than one that answers no build, as when it has just died.
        let areAllSlow = guards?.allSatisfy(slow.contains) ?? false
        sessions[number] = .building(nil, since: now)
        do throws(PathFailure) {
            let hops = try pool.build(
                to: .node(proxy), avoiding: [target], slow: areAllSlow ? [] : slow, only: guards, for: .identity
            ) { [weak self, pool] result in
                if let self { return built(number, result) }
                if case .success(let path) = result { pool.end(path) }
            }
            sessions[number] = hops.map { .building($0.first, since: now) } ?? .wanted(proxy)
        } catch {
            ended(number)
        }
    }

    private func built(_ number: Number, _ result: Result<Path, PathFailure>) {
        guard case .building? = sessions[number] else {
            if case .success(let path) = result { pool.end(path) }
            return
        }
        guard case .success(let path) = result else { return ended(number) }
        let session = RequestSession(turn: turn, pool: pool, path: path, now: now) { [weak self] in
            self?.ended(number)
        }
        sessions[number] = .ready(session)
        perform(client.sessionReady(number, now: now, time: time))
    }

    /// Handles the end of a session, or the failure to begin one.
    private func ended(_ number: Number) {
        sessions[number] = nil
        perform(client.sessionEnded(number, now: now, time: time))
    }
}

/// Statistics of a client's requests.
struct RequestCounts {
    var begun: UInt64 = 0
    private(set) var answered: UInt64 = 0
    private(set) var failed: UInt64 = 0

    mutating func ended(_ outcome: RequestClient.Outcome) {
        switch outcome {
        case .answered: answered += 1
        case .refused, .timedOut, .noProxy, .tooMany: failed += 1
        }
    }
}

public import EventLoop
internal import OnionCrypto
public import Requests
internal import Transport
public import Wire

/// The onion requests of one user, a client or a node's tests (protocol.md, section 13.6).
///
/// `RequestClient` decides which target to ask, through which proxy, and when to try again. This class carries the
/// bytes, over paths that ``RequestPaths`` builds. Two users share nothing.
public final class RequestCalls {
    private typealias Number = RequestClient.Number

    private enum Opening {
        case building
        case ready(RequestSession)
    }

    private let paths: any RequestPaths
    private let turn: SessionTurn
    private var client: RequestClient
    private var sessions: [Number: Opening] = [:]
    private var attempts: [Number: StreamExchange] = [:]
    private var waiting: [Number: (RequestClient.Outcome) -> Void] = [:]
    private var timer: LoopTimer?
    /// The actions that are still to be performed, in order.
    private var actions: [RequestClient.Action] = []
    private var isActing = false

    /// The requests of one user in a network, over `paths`.
    public init(on loop: Loop, network: Bytes32, paths: any RequestPaths) {
        self.paths = paths
        turn = SessionTurn(loop: loop)
        client = RequestClient(network: network, random: SecureRandom()) { [paths] in paths.reach(for: $0) }
        loop.addAtTurnEnd { [turn] in turn.run() }
        timer = LoopTimer(on: loop) { [weak self] in
            guard let self else { return }
            perform(client.advance(now, time: paths.time))
        }
    }

    private var now: Instant { turn.now }

    /// How many requests have no answer yet.
    public var pending: Int { client.pending }
    /// How many sessions there are, ready or not.
    public var sessionCount: Int { sessions.count }
    /// The hops of the sessions that are ready, in the order in which they were asked for.
    public var openHops: [[NodeID]] {
        sessions.keys.sorted().compactMap { if case .ready(let session)? = sessions[$0] { session.hops } else { nil } }
    }
    /// The scopes of the sessions, ready or not, in the order in which they were asked for.
    public var scopes: [RequestClient.Scope] { client.scopes }
    /// Statistics of the requests.
    public private(set) var counts = RequestCounts()

    // MARK: Calls

    /// Begins a request; `done` is called once, at the latest 10 s later, and perhaps inside this call.
    ///
    /// Returns the number with which it can be cancelled; nil if it is over already.
    @discardableResult
    public func ask(
        _ call: RequestClient.Call, done: @escaping (RequestClient.Outcome) -> Void
    ) -> RequestClient.Number? {
        guard timer != nil else {
            done(.noProxy)
            return nil
        }
        counts.begun += 1
        client.nodes = paths.proxies
        let (number, actions) = client.ask(call, now: now, time: paths.time)
        waiting[number] = done
        perform(actions)
        return waiting[number] == nil ? nil : number
    }

    /// Ends a request for whose answer nobody waits any more; its `done` is not called.
    public func cancel(_ number: RequestClient.Number) {
        guard waiting.removeValue(forKey: number) != nil else { return }
        perform(client.cancel(number, now: now))
    }

    /// Ends the sessions whose hops are `unusable`; their requests go over other proxies.
    public func endSessions(where unusable: ([NodeID]) -> Bool) {
        for number in sessions.keys.sorted() {
            guard case .ready(let session)? = sessions[number], unusable(session.hops) else { continue }
            session.end()
            ended(number)
        }
    }

    /// Ends the sessions of these isolation keys, or of all if nil, those that are being built too; their requests go
    /// over other proxies.
    public func endSessions(of isolations: Set<UInt64>?) {
        for number in client.sessions(of: isolations) {
            if case .ready(let session)? = sessions[number] { session.end() }
            ended(number)
        }
    }

    /// Ends all requests and sessions; later requests fail.
    public func close() {
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
            let key = paths.onionKey(of: node, in: bytes)
            perform(client.keyChecked(attempt, key, now: now, time: paths.time))
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
        perform(client.received(attempt, answer, now: now, time: paths.time))
    }

    // MARK: Sessions

    private func build(_ number: Number, to proxy: NodeID) {
        guard let target = client.target(ofSession: number) else { return }
        sessions[number] = .building
        paths.build(
            to: proxy, for: target, isWanted: { [weak self] in self?.isBuilding(number) ?? false },
            completion: { [weak self] path in
                guard let self, isBuilding(number) else { return path?.end(isByProxy: false) ?? () }
                built(number, path)
            })
    }

    private func isBuilding(_ number: Number) -> Bool {
        if case .building? = sessions[number] { true } else { false }
    }

    private func built(_ number: Number, _ path: (any RequestPath)?) {
        guard let path else { return ended(number) }
        sessions[number] = .ready(RequestSession(turn: turn, over: path) { [weak self] in self?.ended(number) })
        perform(client.sessionReady(number, now: now, time: paths.time))
    }

    /// Handles the end of a session, or the failure to begin one.
    private func ended(_ number: Number) {
        sessions[number] = nil
        perform(client.sessionEnded(number, now: now, time: paths.time))
    }
}

/// Statistics of a user's requests.
public struct RequestCounts {
    /// How many were begun.
    public fileprivate(set) var begun: UInt64 = 0
    /// How many were answered.
    public private(set) var answered: UInt64 = 0
    /// How many ended without an answer.
    public private(set) var failed: UInt64 = 0

    mutating func ended(_ outcome: RequestClient.Outcome) {
        switch outcome {
        case .answered: answered += 1
        case .refused, .timedOut, .noProxy, .tooMany: failed += 1
        }
    }
}

public import Wire

/// The sessions of a client's calls.
extension RequestClient {
    /// A session for an attempt, or the reason why there is none.
    enum Opening {
        case session(Number)
        /// No proxy can be reached now, or too many sessions are open.
        case later
        /// There is no proxy that the call has not tried.
        case none
    }

    /// A session of the scope to this target, or a new one through a proxy that the call has not tried.
    mutating func session(
        for call: CallState, _ target: NodeID, _ now: Instant, _ actions: inout [Action]
    ) -> Opening {
        let busy = Set(call.attempts.compactMap { attempts[$0]?.session })
        let usable = sessions.filter { number, session in
            session.scope == call.call.scope && session.target == target && now < session.ends
                && session.failuresInRow < Self.failures && !busy.contains(number)
                && !call.avoidedProxies.contains(session.proxy)
        }
        if let number = usable.keys.min() { return .session(number) }
        guard call.attempts.isEmpty || sessions.count < Self.sessionsForMore else { return .later }
        var avoided = call.avoidedProxies
        for number in busy { if let proxy = sessions[number]?.proxy { avoided.insert(proxy) } }
        let milliseconds = now.nanoseconds / 1_000_000
        let reachable = reach(target)
        for draw in 0..<Self.draws {
            let (dropped, tried) = (dropped, avoided)
            guard
                let proxy = ProxyChoice.draw(
                    from: nodes, target: target, swarm: call.call.swarm,
                    avoided: tried.contains,
                    // A target that never answers makes every proxy fail; for other targets these proxies must remain
                    // usable.
                    missed: { call.missedProxies.contains($0) || dropped.isPaused($0, now: milliseconds) },
                    using: &random)
            else { return draw == 0 ? .none : .later }
            guard let reachable else { return .later }
            guard reachable(proxy) else {
                avoided.insert(proxy)
                continue
            }
            let number = number()
            sessions[number] = Session(
                scope: call.call.scope, target: target, proxy: proxy, ends: now + Self.sessionLife, lastUsed: now)
            actions.append(.openSession(number, proxy: proxy))
            return .session(number)
        }
        return .later
    }

    /// Counts a failure of a session's proxy; after two in a row the session takes no new requests, and the proxy
    /// pauses.
    mutating func noteFailure(_ number: Number, _ now: Instant) {
        guard let session = sessions[number] else { return }
        sessions[number]?.failuresInRow += 1
        if session.failuresInRow + 1 == Self.failures {
            dropped.failed(session.proxy, now: now.nanoseconds / 1_000_000)
        }
    }

    /// Counts a failure of the proxy if a request is given up `shortestHedge` or longer after it was sent.
    mutating func noteSilence(_ number: Number, _ now: Instant) {
        guard let attempt = attempts[number], case .sent(_, let sent) = attempt.state,
            now - sent >= Self.shortestHedge
        else { return }
        noteFailure(attempt.session, now)
    }

    /// When a session closes if it stays idle.
    func end(of session: Session) -> Instant { min(session.ends, session.lastUsed + Self.idleTime) }

    /// Closes idle sessions that are over or whose proxy failed, and the least recently used beyond `idleSessions`.
    mutating func closeIdleSessions(_ now: Instant, _ actions: inout [Action]) {
        let idle = sessions.filter { $0.value.attempts.isEmpty }
        let surplus = idle.count - Self.idleSessions
        let oldest = surplus > 0 ? idle.sorted { $0.value.lastUsed < $1.value.lastUsed }.prefix(surplus).map(\.key) : []
        for (number, session) in idle
        where now >= end(of: session) || session.failuresInRow >= Self.failures || oldest.contains(number) {
            sessions[number] = nil
            actions.append(.closeSession(number))
        }
    }

    // MARK: Events

    /// A session is ready for requests.
    public mutating func sessionReady(_ number: Number, now: Instant, time: UnixTime) -> [Action] {
        var actions: [Action] = []
        guard sessions[number]?.isReady == false else { return actions }
        sessions[number]?.isReady = true
        for attempt in sessions[number]?.attempts.sorted() ?? [] { send(attempt, now, time, &actions) }
        return actions
    }

    /// A session could not be made, or has ended.
    public mutating func sessionEnded(_ number: Number, now: Instant, time: UnixTime) -> [Action] {
        var actions: [Action] = []
        guard let session = sessions.removeValue(forKey: number) else { return actions }
        for attempt in session.attempts.sorted() {
            guard session.isReady else {
                miss(attempt, of: session.proxy, now)
                continue
            }
            if let call = attempts[attempt]?.call { calls[call]?.avoidedProxies.insert(session.proxy) }
            actions.append(.cancel(attempt: attempt))
            fail(attempt, isProxys: false, now, time, &actions)
        }
        return actions
    }
}

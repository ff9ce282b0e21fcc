public import Wire

extension RequestClient {
    /// Asks once more for a call, over another proxy than those that are asked now.
    mutating func attempt(_ number: Number, _ now: Instant, _ time: UnixTime, _ actions: inout [Action]) {
        guard let call = calls[number] else { return }
        guard call.attempts.count < Self.attemptsAtOnce, call.attemptCount < Self.attemptsOfCall else {
            if call.attempts.isEmpty { finish(number, call.lastHint.map { .refused($0) } ?? .timedOut, now, &actions) }
            // Until then, answers of the attempts under way are waited for.
            calls[number]?.nextAttempt = call.started + Self.callTime
            return
        }
        let asked = Set(call.attempts.compactMap { attempts[$0]?.target.node })
        guard let target = target(of: call, asked: asked) else { return finish(number, .noProxy, now, &actions) }
        let busy = Set(call.attempts.compactMap { attempts[$0]?.session })
        guard let session = session(for: call, target.node, not: busy, now, &actions) else {
            if call.attempts.isEmpty {
                let lack = call.attemptCount > 0 ? Outcome.timedOut : .noProxy
                return finish(number, call.lastHint.map { .refused($0) } ?? lack, now, &actions)
            }
            calls[number]?.nextAttempt = now + Self.pause
            return
        }
        let attempt = self.number()
        attempts[attempt] = Attempt(call: number, session: session, target: target, state: .waiting)
        sessions[session]?.attempts.insert(attempt)
        sessions[session]?.lastUsed = now
        calls[number]?.attempts.insert(attempt)
        calls[number]?.attemptCount += 1
        calls[number]?.nextAttempt = now + Self.openingTime
        if sessions[session]?.isReady == true { send(attempt, now, time, &actions) }
    }

    /// The target of an attempt: one that a session of the scope has, so that a box has one coordinator; then a new one.
    private mutating func target(of call: CallState, asked: Set<NodeID>) -> Target? {
        let unasked = call.call.targets.filter { !asked.contains($0.node) }
        let fresh = unasked.filter { !call.avoidedTargets.contains($0.node) }
        let possible = !fresh.isEmpty ? fresh : !unasked.isEmpty ? unasked : call.call.targets
        let known = Set(
            sessions.values.filter { $0.scope == call.call.scope && $0.failuresInRow == 0 }.map(\.target))
        return possible.first { known.contains($0.node) } ?? possible.randomElement(using: &random)
    }

    /// A session of the scope to this target, or a new one over a proxy that this call has not tried.
    private mutating func session(
        for call: CallState, _ target: NodeID, not busy: Set<Number>, _ now: Instant, _ actions: inout [Action]
    ) -> Number? {
        let usable = sessions.filter { number, session in
            session.scope == call.call.scope && session.target == target && now < session.ends
                && session.failuresInRow < Self.failures && !busy.contains(number)
                && !call.avoidedProxies.contains(session.proxy)
        }
        if let number = usable.keys.min() { return number }
        let inUse = Set(busy.compactMap { sessions[$0]?.proxy })
        let milliseconds = now.nanoseconds / 1_000_000
        let dropped = dropped
        guard
            let proxy = ProxyChoice.draw(
                from: nodes, target: target, swarm: call.call.swarm,
                avoided: {
                    inUse.contains($0) || call.avoidedProxies.contains($0)
                        || dropped.isPaused($0, now: milliseconds)
                }, using: &random)
        else { return nil }
        let number = number()
        sessions[number] = Session(
            scope: call.call.scope, target: target, proxy: proxy, ends: now + Self.sessionLife, lastUsed: now)
        actions.append(.openSession(number, proxy: proxy))
        return number
    }

    /// Seals the request anew and sends it.
    private mutating func send(_ number: Number, _ now: Instant, _ time: UnixTime, _ actions: inout [Action]) {
        guard let attempt = attempts[number], let call = calls[attempt.call] else { return }
        guard
            let sealed = try? RequestEnvelope.seal(
                call.call.method, to: attempt.target.node, onionKey: attempt.target.onionKey, network: network,
                time: time, source: source, arguments: call.call.arguments)
        else {
            // The key is none: the target cannot be asked.
            calls[attempt.call]?.avoidedTargets.insert(attempt.target.node)
            return fail(number, isProxys: false, now, time, &actions)
        }
        attempts[number]?.state = .sent(sealed, now)
        calls[attempt.call]?.nextAttempt = now + times.hedge(of: call.size)
        let open = RequestOpen.envelope(sealed.envelope, to: attempt.target.node)
        actions.append(.send(attempt: number, session: attempt.session, open.encoded()))
    }

    /// An attempt has brought no answer: its proxy is avoided, and another is asked after `pause`.
    private mutating func fail(
        _ number: Number, isProxys: Bool, pause: TimeSpan = .zero, _ now: Instant, _ time: UnixTime,
        _ actions: inout [Action]
    ) {
        guard let attempt = attempts[number] else { return }
        removeAttempt(number, now)
        if isProxys, let session = sessions[attempt.session] {
            calls[attempt.call]?.avoidedProxies.insert(session.proxy)
            noteFailure(attempt.session, now)
            closeIdleSessions(now, &actions)
        }
        guard calls[attempt.call] != nil else { return }
        if pause > .zero {
            calls[attempt.call]?.nextAttempt = now + pause
        } else {
            self.attempt(attempt.call, now, time, &actions)
        }
    }

    /// A proxy with two failures in a row is dropped: its session takes no new requests.
    private mutating func noteFailure(_ number: Number, _ now: Instant) {
        guard let session = sessions[number] else { return }
        sessions[number]?.failuresInRow += 1
        if session.failuresInRow + 1 == Self.failures {
            dropped.failed(session.proxy, now: now.nanoseconds / 1_000_000)
        }
    }

    /// A request that is given up after the time in which another was asked counts as its proxy's failure.
    mutating func noteSilence(_ number: Number, _ now: Instant) {
        guard let attempt = attempts[number], case .sent(_, let sent) = attempt.state,
            now - sent >= Self.shortestHedge
        else { return }
        noteFailure(attempt.session, now)
    }

    private mutating func endSession(
        _ number: Number, _ now: Instant, _ time: UnixTime, _ actions: inout [Action]
    ) {
        guard let session = sessions.removeValue(forKey: number) else { return }
        for attempt in session.attempts.sorted() {
            if let call = attempts[attempt]?.call { calls[call]?.avoidedProxies.insert(session.proxy) }
            actions.append(.cancel(attempt: attempt))
            fail(attempt, isProxys: false, now, time, &actions)
        }
    }

    /// Closes sessions whose time is over and, of the others that nobody uses, the ones least lately used.
    mutating func closeIdleSessions(_ now: Instant, _ actions: inout [Action]) {
        let idle = sessions.filter { $0.value.attempts.isEmpty }
        let surplus = idle.count - Self.idleSessions
        let oldest = surplus > 0 ? idle.sorted { $0.value.lastUsed < $1.value.lastUsed }.prefix(surplus).map(\.key) : []
        for (number, session) in idle
        where now >= session.ends || session.failuresInRow >= Self.failures || oldest.contains(number) {
            sessions[number] = nil
            actions.append(.closeSession(number))
        }
    }

    // MARK: Events

    /// A session can be used.
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
        endSession(number, now, time, &actions)
        return actions
    }

    /// All bytes of an attempt's stream; nil where it was reset.
    public mutating func received(
        _ number: Number, _ bytes: [UInt8]?, now: Instant, time: UnixTime
    ) -> [Action] {
        var actions: [Action] = []
        guard let attempt = attempts[number], case .sent(let sealed, let sent) = attempt.state else { return actions }
        guard let bytes, let outer = try? OuterAnswer(decoding: bytes.rawSpan, at: .stream) else {
            fail(number, isProxys: true, now, time, &actions)
            return actions
        }
        if outer.status != .answer { calls[attempt.call]?.lastHint = outer.status }
        switch outer {
        case .answer(let bytes):
            guard let answer = sealed.open(bytes) else {
                fail(number, isProxys: true, now, time, &actions)
                break
            }
            sessions[attempt.session]?.failuresInRow = 0
            if let size = calls[attempt.call]?.size { times.add(now - sent, of: size) }
            if answer.status == .timeInvalid { actions.append(.checkTime) }
            // The stream of this attempt has ended by itself.
            removeAttempt(number, now)
            finish(
                attempt.call, .answered(answer, by: attempt.target.node, binding: sealed.binding), now, &actions)
        case .newKey(let descriptor):
            guard !attempt.hasNewKey else {
                fail(number, isProxys: true, now, time, &actions)
                break
            }
            attempts[number]?.state = .checking
            actions.append(.checkDescriptor(attempt: number, attempt.target.node, descriptor))
        case .busy:
            // The proxy may have invented it, so the seconds are not waited for: another target, or another proxy soon.
            calls[attempt.call]?.avoidedTargets.insert(attempt.target.node)
            let hasOthers = calls[attempt.call].map { call in
                call.call.targets.contains { !call.avoidedTargets.contains($0.node) }
            }
            fail(number, isProxys: true, pause: hasOthers == true ? .zero : Self.pause, now, time, &actions)
        case .tooMany: fail(number, isProxys: true, pause: Self.pause, now, time, &actions)
        case .later, .unknownTarget, .noLink, .noAnswer, .unreadable:
            fail(number, isProxys: true, now, time, &actions)
        }
        return actions
    }

    /// A target's descriptor was checked; nil where it is not to be taken, and otherwise its onion public key.
    public mutating func keyChecked(
        _ number: Number, _ onionKey: [UInt8]?, now: Instant, time: UnixTime
    ) -> [Action] {
        var actions: [Action] = []
        guard let attempt = attempts[number], case .checking = attempt.state else { return actions }
        guard let onionKey, onionKey != attempt.target.onionKey else {
            fail(number, isProxys: true, now, time, &actions)
            return actions
        }
        attempts[number]?.target = Target(node: attempt.target.node, onionKey: onionKey)
        attempts[number]?.hasNewKey = true
        send(number, now, time, &actions)
        return actions
    }

    // MARK: Time

    /// When `advance` is to be called next.
    public var nextDeadline: Instant? {
        let calls = calls.values.map { min($0.nextAttempt, $0.started + Self.callTime) }.min()
        let sessions = sessions.values.filter(\.attempts.isEmpty).map(\.ends).min()
        return [calls, sessions].compactMap(\.self).min()
    }

    /// Does what is due.
    public mutating func advance(_ now: Instant, time: UnixTime) -> [Action] {
        var actions: [Action] = []
        for number in calls.keys.sorted() {
            guard let call = calls[number] else { continue }
            if now >= call.started + Self.callTime {
                finish(number, call.lastHint.map { .refused($0) } ?? .timedOut, now, &actions)
            } else if now >= call.nextAttempt {
                attempt(number, now, time, &actions)
            }
        }
        closeIdleSessions(now, &actions)
        return actions
    }
}

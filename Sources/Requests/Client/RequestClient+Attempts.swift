public import Wire

extension RequestClient {
    /// Asks once more for a call, through another proxy than those of the attempts under way.
    mutating func attempt(_ number: Number, _ now: Instant, _ time: UnixTime, _ actions: inout [Action]) {
        guard let call = calls[number] else { return }
        guard call.attempts.count < Self.attemptsAtOnce, call.attemptCount < Self.attemptsOfCall else {
            if call.attempts.isEmpty { giveUp(number, now, &actions) }
            // The call waits for the attempts under way until its time is over.
            calls[number]?.nextAttempt = call.started + Self.callTime
            return
        }
        let asked = Set(call.attempts.compactMap { attempts[$0]?.target.node })
        guard let target = target(of: call, asked: asked) else { return finish(number, .noProxy, now, &actions) }
        let session: Number
        switch self.session(for: call, target.node, now, &actions) {
        case .session(let found): session = found
        case .none where call.attempts.isEmpty: return giveUp(number, now, &actions)
        case .none, .later:
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

    /// Ends a call for which no usable proxy is left, or whose time is over.
    private mutating func giveUp(_ number: Number, _ now: Instant, _ actions: inout [Action]) {
        guard let call = calls[number] else { return }
        let lack = call.isSent ? Outcome.timedOut : .noProxy
        finish(number, call.lastHint.map { .refused($0) } ?? lack, now, &actions)
    }

    /// The target of the next attempt, preferably one that a session of the scope has, so that a box has one
    /// coordinator.
    private mutating func target(of call: CallState, asked: Set<NodeID>) -> Target? {
        let unasked = call.call.targets.filter { !asked.contains($0.node) }
        let fresh = unasked.filter { !call.avoidedTargets.contains($0.node) }
        let possible = !fresh.isEmpty ? fresh : !unasked.isEmpty ? unasked : call.call.targets
        let known = Set(
            sessions.values.filter { $0.scope == call.call.scope && $0.failuresInRow == 0 }.map(\.target))
        return possible.first { known.contains($0.node) } ?? possible.randomElement(using: &random)
    }

    /// Seals the request anew and sends it.
    mutating func send(_ number: Number, _ now: Instant, _ time: UnixTime, _ actions: inout [Action]) {
        guard let attempt = attempts[number], let call = calls[attempt.call] else { return }
        calls[attempt.call]?.isSent = true
        guard
            let sealed = try? RequestEnvelope.seal(
                call.call.method, to: attempt.target.node, onionKey: attempt.target.onionKey, network: network,
                time: time, source: source, arguments: call.call.arguments)
        else {
            // The onion key is invalid: the target cannot be asked.
            calls[attempt.call]?.avoidedTargets.insert(attempt.target.node)
            return fail(number, isProxys: false, now, time, &actions)
        }
        attempts[number]?.state = .sent(sealed, now)
        calls[attempt.call]?.nextAttempt = now + times.hedge(of: call.size)
        let open = RequestOpen.envelope(sealed.envelope, to: attempt.target.node)
        actions.append(.send(attempt: number, session: attempt.session, open.encoded()))
    }

    /// Ends an attempt without an answer, and makes the next one after `pause`.
    ///
    /// If `isProxys`, the attempt counts as a failure of its proxy, which the call then avoids.
    mutating func fail(
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

    /// Ends an attempt whose session could not be made; it does not count, and another proxy is drawn after a pause.
    mutating func miss(_ number: Number, of proxy: NodeID, _ now: Instant) {
        guard let attempt = attempts[number], var call = calls[attempt.call] else { return }
        let pause = Self.missPauses[min(call.misses, Self.missPauses.count - 1)]
        call.attemptCount -= 1
        call.misses += 1
        call.missedProxies.insert(proxy)
        call.nextAttempt = min(call.nextAttempt, now + pause)
        calls[attempt.call] = call
        removeAttempt(number, now)
    }

    // MARK: Events

    /// All bytes of an attempt's stream have arrived; nil if the stream was reset.
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
            if let proxy = sessions[attempt.session]?.proxy { dropped.delivered(proxy) }
            if let size = calls[attempt.call]?.size { times.add(now - sent, of: size) }
            // The stream of this attempt has ended already: it needs no `cancel`.
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
            // The proxy may have made the status up, so its seconds are ignored: another target, or soon another proxy.
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

    /// A target's descriptor was checked: `onionKey` is its onion public key; nil if the descriptor is not acceptable.
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

    /// When `advance` must be called next.
    public var nextDeadline: Instant? {
        let calls = calls.values.map { min($0.nextAttempt, $0.started + Self.callTime) }.min()
        let sessions = sessions.values.filter(\.attempts.isEmpty).map { end(of: $0) }.min()
        return [calls, sessions].compactMap(\.self).min()
    }

    /// Performs everything that is due.
    public mutating func advance(_ now: Instant, time: UnixTime) -> [Action] {
        var actions: [Action] = []
        for number in calls.keys.sorted() {
            guard let call = calls[number] else { continue }
            if now >= call.started + Self.callTime {
                giveUp(number, now, &actions)
            } else if now >= call.nextAttempt {
                attempt(number, now, time, &actions)
            }
        }
        closeIdleSessions(now, &actions)
        return actions
    }
}

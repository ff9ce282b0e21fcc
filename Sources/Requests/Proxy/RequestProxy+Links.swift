public import Link
public import Wire

extension RequestProxy {
    /// Waits for a link to `target`, and begins a handshake if there is none; false if there is no place for one.
    mutating func connect(
        _ ticket: Ticket, _ target: NodeID, _ source: Source, _ now: Instant, _ actions: inout [Action]
    ) -> Bool {
        if handshakes[target] == nil {
            guard makeRoomForHandshake(source, now, &actions) else { return false }
            handshakes[target] = Handshake(source: source, until: now + RequestLimits.linkTime)
            handshakePlaces.entered(target, of: source, now) { handshakes[$0] != nil }
            deadlines.handshake.append(target, now: now)
            actions.append(.connect(target))
        }
        handshakes[target]?.tickets.append(ticket)
        return true
    }

    private mutating func makeRoomForHandshake(
        _ source: Source, _ now: Instant, _ actions: inout [Action]
    ) -> Bool {
        while true {
            switch handshakePlaces.take(1, for: source, now) {
            case .granted: return true
            case .makeRoom(let loser):
                // The node decides between equal times, so that the same events have the same result in each run.
                guard
                    let lost = handshakes.filter({ $0.value.source == loser })
                        .min(by: { ($0.value.until, $0.key) < ($1.value.until, $1.key) })
                else { return false }
                passOn(lost.key, now, &actions)
            case .replace(let node): lose(node, &actions)
            case .full: return false
            }
        }
    }

    /// Moves a handshake that must give up its place to the share of another link whose request waits for it.
    ///
    /// Requests of the link that loses the handshake end. If no other link can take it, all requests that wait for it
    /// end. Without this, a source could begin a handshake with a node that many ask, and end their requests with its
    /// own.
    private mutating func passOn(_ node: NodeID, _ now: Instant, _ actions: inout [Action]) {
        guard let handshake = handshakes[node] else { return }
        let others = handshake.tickets.filter {
            entries[$0].map { $0.source.origin != handshake.source.origin } ?? false
        }
        endHandshake(node)
        for case let heir? in others.map({ entries[$0]?.source }) {
            guard case .granted = handshakePlaces.take(1, for: heir, now) else { continue }
            handshakes[node] = Handshake(source: heir, until: handshake.until, tickets: others)
            handshakePlaces.entered(node, of: heir, now) { handshakes[$0] != nil }
            break
        }
        let lost = handshakes[node] == nil ? handshake.tickets : handshake.tickets.filter { !others.contains($0) }
        counters.refused += lost.count
        for ticket in lost { end(ticket, .tooMany, &actions) }
    }

    /// Releases a handshake's place and ends the requests that wait for it; the handshake goes on, because builds may
    /// need it.
    private mutating func lose(_ node: NodeID, _ actions: inout [Action]) {
        let waiting = handshakes[node]?.tickets ?? []
        endHandshake(node)
        counters.refused += waiting.count
        for ticket in waiting { end(ticket, .tooMany, &actions) }
    }

    /// Removes a request; it still counts as unanswered at its target until `landed`.
    mutating func leave(_ ticket: Ticket) -> Entry? {
        guard let entry = entries.removeValue(forKey: ticket) else { return nil }
        if flights[ticket] == nil { asked[entry.key] = nil }
        places.release(entry.places, of: entry.source)
        askers[entry.source]?.tickets.removeAll { $0 == ticket }
        switch entry.state {
        case .connecting: handshakes[entry.target]?.tickets.removeAll { $0 == ticket }
        case .waiting: leaveQueue(ticket, entry)
        case .asked, .own: break
        }
        return entry
    }

    private mutating func endHandshake(_ node: NodeID) {
        guard let handshake = handshakes.removeValue(forKey: node) else { return }
        handshakePlaces.release(1, of: handshake.source)
    }

    /// Ends a request with `answer` to its asker.
    mutating func end(_ ticket: Ticket, _ answer: OuterAnswer, _ actions: inout [Action]) {
        guard let entry = leave(ticket) else { return }
        actions.append(.answer(asker: entry.asker, answer))
    }

    /// Ends a request with its target's answer, if the source's rate of bytes allows its size.
    private mutating func deliver(
        _ ticket: Ticket, _ answer: OuterAnswer, _ size: Int, _ now: Instant, _ actions: inout [Action]
    ) {
        guard let entry = entries[ticket] else {
            counters.ignored += 1
            return
        }
        guard askers[entry.source]?.bytes.take(size, now: now) ?? false else {
            counters.refused += 1
            return end(ticket, .tooMany, &actions)
        }
        counters.answered += 1
        end(ticket, answer, &actions)
    }

    // MARK: Events

    /// A link to `node` is up.
    public mutating func linkUp(_ node: NodeID, now: Instant) -> [Action] {
        var actions: [Action] = []
        failures.delivered(node)
        let waiting = handshakes[node]?.tickets ?? []
        endHandshake(node)
        for ticket in waiting { enqueue(ticket, now) }
        advanceQueue(of: node, now, &actions)
        return actions
    }

    /// The handshake with `node` has failed or could not begin.
    public mutating func linkFailed(_ node: NodeID, _ fault: LinkFault, now: Instant) -> [Action] {
        var actions: [Action] = []
        handshakeFailed(node, fault, now, &actions)
        return actions
    }

    private mutating func handshakeFailed(
        _ node: NodeID, _ fault: LinkFault, _ now: Instant, _ actions: inout [Action]
    ) {
        guard let handshake = handshakes[node] else { return }
        endHandshake(node)
        switch fault {
        case .unanswered: failures.failed(node, now: Self.milliseconds(now))
        case .limit: counters.refused += handshake.tickets.count
        case .unreachable: break
        }
        let answer: OuterAnswer = fault == .limit ? .tooMany : .noLink
        for ticket in handshake.tickets { end(ticket, answer, &actions) }
    }

    /// The last link to `node` has ended.
    public mutating func linkEnded(_ node: NodeID) -> [Action] {
        var actions: [Action] = []
        for ticket in asked.filter({ $0.key.node == node }).values.sorted() {
            landed(ticket)
            switch entries[ticket]?.state {
            case .asked: end(ticket, .noAnswer, &actions)
            case .waiting: end(ticket, .noLink, &actions)
            case .connecting, .own, nil: break
            }
        }
        return actions
    }

    /// FORWARD was answered or has failed.
    public mutating func forwarded(
        _ ticket: Ticket, _ result: Result<[UInt8], ControlFailure>, now: Instant
    ) -> [Action] {
        var actions: [Action] = []
        guard flights[ticket] != nil else {
            counters.ignored += 1
            return actions
        }
        var outer: OuterAnswer?
        if case .success(let answer) = result { outer = try? OuterAnswer(decoding: answer.rawSpan, at: .forward) }
        guard outer != .later else { return actions }
        landed(ticket)
        switch result {
        case .success(let answer):
            if let outer {
                deliver(ticket, outer, answer.count, now, &actions)
            } else {
                end(ticket, .noAnswer, &actions)
            }
        case .failure(.limit):
            // FORWARD was not sent.
            counters.refused += 1
            end(ticket, .tooMany, &actions)
        case .failure(.refused), .failure(.timedOut), .failure(.linkDown): end(ticket, .noAnswer, &actions)
        }
        advanceQueues(now, &actions)
        return actions
    }

    /// ANSWER arrived from `node`; it is valid once, for a pending request to that node.
    public mutating func answered(_ body: [UInt8], from node: NodeID, now: Instant) -> [Action] {
        var actions: [Action] = []
        guard let message = try? AnswerMessage(decoding: body.rawSpan),
            let ticket = asked[AskedID(node: node, id: message.id)], flights[ticket] != nil
        else {
            counters.ignored += 1
            return actions
        }
        landed(ticket)
        deliver(ticket, message.answer, body.count, now, &actions)
        advanceQueues(now, &actions)
        return actions
    }

    /// A method of this node has run for one of its own sessions; an answer of more than 1 MiB becomes status 4,
    /// `full`.
    public mutating func performed(_ ticket: Ticket, _ answer: RequestAnswer, now: Instant) -> [Action] {
        var actions: [Action] = []
        guard case .own? = entries[ticket]?.state else {
            counters.ignored += 1
            return actions
        }
        let isTooLong = answer.result.count >= OuterAnswer.longestOwnAnswer
        let bytes = (isTooLong ? RequestAnswer(.full) : answer).encoded()
        deliver(ticket, .answer(bytes), bytes.count, now, &actions)
        return actions
    }

    /// A session has ended: its requests end without an answer, but still count at their targets.
    public mutating func sessionEnded(_ session: UInt64, over link: LinkSource) {
        let source = Source(origin: .link(link), session: session)
        for ticket in askers[source]?.tickets ?? [] { _ = leave(ticket) }
        askers[source] = nil
    }

    /// Performs everything that is due.
    public mutating func advance(_ now: Instant) -> [Action] {
        var actions: [Action] = []
        while let node = deadlines.handshake.next(now) {
            // A later handshake with the same node has a deadline of its own.
            if let until = handshakes[node]?.until, until <= now {
                handshakeFailed(node, .unanswered, now, &actions)
            }
        }
        while let ticket = deadlines.link.next(now) {
            guard let entry = entries[ticket] else { continue }
            switch entry.state {
            case .connecting: end(ticket, .noLink, &actions)
            case .waiting:
                counters.refused += 1
                end(ticket, .tooMany, &actions)
            case .asked, .own: break
            }
        }
        while let ticket = deadlines.answer.next(now) {
            landed(ticket)
            end(ticket, .noAnswer, &actions)
        }
        while let ticket = deadlines.age.next(now) { end(ticket, .noAnswer, &actions) }
        advanceQueues(now, &actions)
        return actions
    }
}

internal import Onion
public import Wire

extension RequestTarget {
    /// `RequestEnvelope.open` has returned for a ticket.
    public mutating func opened(
        _ ticket: Ticket, _ request: OpenedRequest?, now: Instant, time: UnixTime
    ) -> [Action] {
        var actions: [Action] = []
        guard opening.remove(ticket) != nil else { return actions }
        if let entry = entries[ticket] { proceed(ticket, entry, request, now, time, &actions) }
        dispatch(now, &actions)
        return actions
    }

    private mutating func proceed(
        _ ticket: Ticket, _ entry: Entry, _ request: OpenedRequest?, _ now: Instant, _ time: UnixTime,
        _ actions: inout [Action]
    ) {
        guard let request else {
            counters.unreadable += 1
            return end(ticket, .unreadable, &actions)
        }
        guard request.isValid(at: time) else { return endUntimely(ticket, request, &actions) }
        let (opening, arguments) = (request.opening, request.arguments)
        switch cache.enter(
            opening.rawSpan, time: UInt64(request.units), of: Self.number(of: entry.node), now: now)
        {
        case .new: break
        case .replayed:
            counters.replayed += 1
            return end(ticket, .unreadable, &actions)
        case .full: return end(ticket, .busy(seconds: 60), &actions)
        case .forgotten: return endUntimely(ticket, request, &actions)
        }
        entries[ticket]?.state = .performing(request)
        guard let method = RequestMethod(rawValue: request.method) else {
            return answer(ticket, RequestAnswer(.unknown), now, &actions)
        }
        if method.isSlow {
            guard slowCount(of: entry.node) <= RequestLimits.slowPerNode else {
                return end(ticket, .busy(seconds: 12), &actions)
            }
            tellLater(ticket, &actions)
        }
        switch method {
        case .relay:
            guard let relay = try? RelayRequest(decoding: arguments.rawSpan) else {
                return answer(ticket, RequestAnswer(.malformed), now, &actions)
            }
            guard !entry.isRelayed, relay.target != node, relay.target != entry.node else {
                return answer(ticket, RequestAnswer(.notAuthorised), now, &actions)
            }
            actions.append(.relay(ticket, relay, for: entry.node))
        case .store, .delete, .list, .fetch, .introduce, .status, .lookup, .descriptor:
            actions.append(
                .perform(
                    ticket, method, arguments: arguments, binding: request.binding,
                    room: Self.largest(entry).size - RequestEnvelope.answerHeadSize))
        }
    }

    /// Ends a request whose time is not valid.
    private mutating func endUntimely(_ ticket: Ticket, _ request: OpenedRequest, _ actions: inout [Action]) {
        end(ticket, .answer(request.seal(RequestAnswer(.timeInvalid), salt: salt())), &actions)
    }

    /// The number of a node's requests here that wait for another node or a client.
    ///
    /// Without this limit, requests for RELAY to a node that does not answer could hold all places between a proxy and
    /// this target.
    private func slowCount(of node: NodeID) -> Int {
        entries.values.count { entry in
            guard entry.node == node, case .performing(let request) = entry.state else { return false }
            return RequestMethod(rawValue: request.method)?.isSlow ?? false
        }
    }

    /// The number of a node as a source in the replay cache.
    private static func number(of node: NodeID) -> UInt64 {
        node.key.withBytes { unsafe $0.unsafeLoadUnaligned(as: UInt64.self) }
    }

    /// The largest class of an answer; smaller for a relayed request, whose answer travels inside another one.
    private static func largest(_ entry: Entry) -> RequestClass { entry.isRelayed ? .bytes33024 : .bytes65792 }

    /// A method has run for a ticket.
    ///
    /// A result that is longer than its room becomes status 4, `full`.
    public mutating func performed(_ ticket: Ticket, _ result: RequestAnswer, now: Instant) -> [Action] {
        var actions: [Action] = []
        answer(ticket, result, now, &actions)
        dispatch(now, &actions)
        return actions
    }

    /// This node's own proxy has ended a relayed request with `answer`.
    public mutating func relayed(_ ticket: Ticket, _ answer: OuterAnswer, now: Instant) -> [Action] {
        let room = RequestClass.bytes65792.size - RequestEnvelope.answerHeadSize
        var bytes = answer.encoded(for: .stream)
        if bytes.count > room { bytes = OuterAnswer.noAnswer.encoded(for: .stream) }
        return performed(ticket, RequestAnswer(.done, bytes), now: now)
    }

    /// Seals the answer of a method and sends it.
    private mutating func answer(
        _ ticket: Ticket, _ result: RequestAnswer, _ now: Instant, _ actions: inout [Action]
    ) {
        guard let entry = entries[ticket], case .performing(let request) = entry.state else { return }
        var result = result
        if result.result.count > RequestLimits.smallAnswer {
            let units = RequestLimits.places(result.result.count, of: RequestLimits.largeAnswerUnit)
            if !rates.largeAnswers.take(entry.node, tokens: units, now) { result = .busy(seconds: 1) }
        }
        counters.answered += 1
        end(ticket, .answer(request.seal(result, salt: salt(), largest: Self.largest(entry))), &actions)
    }

    // MARK: Order

    /// Hands queued requests to other threads; nodes take turns.
    mutating func dispatch(_ now: Instant, _ actions: inout [Action]) {
        rates.nextToken = nil
        while opening.count < RequestLimits.openingsAtOnce, let node = turns.first {
            guard let ticket = peers[node]?.queue.first, let entry = entries[ticket],
                case .queued(let envelope, let places) = entry.state
            else { preconditionFailure("a node with a turn has a queued request") }
            guard let key = RequestEnvelope.keyID(of: envelope).flatMap({ keys.key(id: $0) }) else {
                end(ticket, .newKey(descriptor), &actions)
                continue
            }
            guard rates.openings.take(now: now) else {
                rates.nextToken = now + RequestLimits.tokenTime
                return
            }
            guard beginWork(node, &actions) else {
                end(ticket, .busy(seconds: 1), &actions)
                continue
            }
            leaveQueue(ticket, node, places)
            entries[ticket]?.state = .opening
            peers[node]?.atWork.append(ticket)
            opening.insert(ticket)
            if let turn = turns.first, turn == node {
                turns.removeFirst()
                turns.append(node)
            }
            actions.append(.open(ticket, key, envelope: envelope))
        }
    }

    /// Takes a place at work; if all are in use, the node with the most loses its oldest request.
    private mutating func beginWork(_ node: NodeID, _ actions: inout [Action]) -> Bool {
        while true {
            switch atWork.take(for: node) {
            case .granted: return true
            case .makeRoom(let loser):
                guard let ticket = peers[loser]?.atWork.first else { return false }
                end(ticket, .busy(seconds: 1), &actions)
            case .shareUsed, .full: return false
            }
        }
    }

    private mutating func leaveQueue(_ ticket: Ticket, _ node: NodeID, _ places: Int) {
        queued.release(node, places: places)
        peers[node]?.queue.removeAll { $0 == ticket }
        if peers[node]?.queue.isEmpty == true { turns.removeAll { $0 == node } }
    }

    private mutating func leave(_ ticket: Ticket) -> Entry? {
        guard let entry = entries.removeValue(forKey: ticket) else { return nil }
        switch entry.state {
        case .queued(_, let places): leaveQueue(ticket, entry.node, places)
        case .opening, .performing:
            atWork.release(entry.node)
            peers[entry.node]?.atWork.removeAll { $0 == ticket }
        }
        return entry
    }

    /// Ends a request with `answer` to its proxy.
    mutating func end(_ ticket: Ticket, _ answer: OuterAnswer, _ actions: inout [Action]) {
        guard let entry = leave(ticket) else { return }
        if case .busy = answer { counters.busy += 1 }
        if let message = entry.message {
            actions.append(Self.answer(message, answer))
        } else {
            actions.append(.send(entry.node, AnswerMessage(id: entry.id, answer: answer).encoded()))
        }
    }

    static func answer(_ message: UInt64, _ answer: OuterAnswer) -> Action {
        .answer(message: message, answer.encoded(for: .forward))
    }

    private mutating func tellLater(_ ticket: Ticket, _ actions: inout [Action]) {
        guard let message = entries[ticket]?.message else { return }
        entries[ticket]?.message = nil
        actions.append(Self.answer(message, .later))
    }

    // MARK: Time and links

    /// The last link to `node` has ended: its requests end without an answer.
    public mutating func linkEnded(_ node: NodeID, now: Instant) -> [Action] {
        var actions: [Action] = []
        for ticket in (peers[node]?.queue ?? []) + (peers[node]?.atWork ?? []) { _ = leave(ticket) }
        dispatch(now, &actions)
        return actions
    }

    /// Performs everything that is due.
    public mutating func advance(_ now: Instant) -> [Action] {
        var actions: [Action] = []
        while let ticket = deadlines.later.next(now) { tellLater(ticket, &actions) }
        while let ticket = deadlines.wait.next(now) {
            if case .queued? = entries[ticket]?.state { end(ticket, .busy(seconds: 5), &actions) }
        }
        // The proxy has given up by now.
        while let ticket = deadlines.end.next(now) { _ = leave(ticket) }
        dispatch(now, &actions)
        return actions
    }
}

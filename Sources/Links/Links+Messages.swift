internal import EventLoop
internal import Link
internal import Transport
public import Wire

/// Control messages (protocol.md, section 8).
extension Links {
    /// Sends a control message and waits for its answer, up to `timeout`.
    ///
    /// `reply` runs once, later, not inside of this call.
    public func request(
        on link: LinkID, _ message: some MessageFamily, body: [UInt8], timeout: TimeSpan = .seconds(10),
        reply: @escaping (Result<[UInt8], ControlFailure>) -> Void
    ) {
        guard let state = find(link), state.isOpen else { return later { reply(.failure(.linkDown)) } }
        guard begin(state, message.kind, body, timeout, reply) else { return later { reply(.failure(.limit)) } }
    }

    /// Says that the path with the peer's id `pathID` is over.
    ///
    /// Where the link has too many messages under way it waits its turn, and it is sent again when the peer refuses it.
    public func destroy(_ pathID: UInt64, on link: LinkID) {
        guard let state = find(link), state.isOpen else { return }
        state.line.add(pathID, limit: configuration.destroysPerLink)
        sendDestroys(state)
    }

    /// Sends the DESTROYs of a link that wait, as far as it has room.
    func sendDestroys(_ link: ControlLink) {
        guard link.isOpen else { return }
        let id = link.id
        // Half of what may be under way is left to other messages.
        while let next = link.line.next(at: now, limit: configuration.requestsPerLink / 2) {
            var writer = ByteWriter(capacity: 8)
            writer.u64(next.pathID)
            let isBegun = begin(link, PathMessage.destroy.kind, writer.bytes, .seconds(10)) { [weak self] result in
                guard let self, let link = find(id) else { return }
                link.line.ended(next, wasSent: true)
                if case .failure = result { link.line.addAgain(next, at: now) }
            }
            guard isBegun else { return link.line.ended(next, wasSent: false) }
        }
    }

    /// Sends a control message whose answer does not matter; dropped when the link is gone or has too many under way.
    public func send(on link: LinkID, _ message: some MessageFamily, body: [UInt8]) {
        guard let state = find(link), state.isOpen else { return }
        _ = begin(state, message.kind, body, .seconds(10), nil)
    }

    func begin(
        _ link: ControlLink, _ message: MessageKind, _ body: [UInt8], _ timeout: TimeSpan,
        _ reply: ((Result<[UInt8], ControlFailure>) -> Void)?
    ) -> Bool {
        let deadline = now + timeout
        guard
            link.begin(message, body: body, deadline: deadline, limit: configuration.requestsPerLink, reply: reply)
        else { return false }
        if message != LinkMessage.rekey.kind { link.idle.touch(now: now) }
        markDirty(link)
        sweepBefore(deadline)
        return true
    }

    /// Answers a control message; does nothing when it was answered, timed out, or its link is gone.
    public func answer(_ responder: ControlResponder, _ body: [UInt8]) {
        answer(responder, body, part: 0..<body.count)
    }

    /// Answers a control message with a part of `bytes`, which is not copied.
    public func answer(_ responder: ControlResponder, _ bytes: [UInt8], part: Range<Int>) {
        guard let link = find(responder.link), link.isOpen,
            link.incoming[StreamID(responder.stream)]?.phase == .waiting
        else { return }
        guard takeMemory(part.count, for: responder) else { return refuse(responder) }
        link.answer(
            StreamID(responder.stream), bytes, part: part, now: now, limit: configuration.messageTime)
        markDirty(link)
    }

    /// Counts an answer of `count` bytes, for which those that stand still make room; false when there is none.
    private func takeMemory(_ count: Int, for responder: ControlResponder) -> Bool {
        guard let source = places.source(of: responder.link) else { return false }
        while true {
            switch answers.take(count, for: responder, of: source, now: now) {
            case .granted: return true
            case .refused: return false
            case .after(let other):
                guard let link = find(other.link) else {
                    answers.release(other)
                    continue
                }
                table.counters.messagesRefused += 1
                link.refuse(StreamID(other.stream))
                markDirty(link)
            }
        }
    }

    /// Refuses a control message: resets its stream, without a reason.
    public func refuse(_ responder: ControlResponder) {
        guard let link = find(responder.link), link.isOpen else { return }
        let stream = StreamID(responder.stream)
        guard link.incoming[stream]?.phase == .waiting else { return }
        link.refuse(stream)
        markDirty(link)
    }

    /// Says that a path uses the link, so that it is not closed for idleness.
    public func addPath(on link: LinkID) { find(link)?.idle.addPath() }

    /// Says that a path no longer uses the link.
    public func removePath(on link: LinkID) { find(link)?.idle.removePath(now: now) }

    // MARK: Sending

    /// Sends what a link's control connection has to send now.
    func pump(_ link: ControlLink) {
        guard !link.isGone else { return }
        var budget = 128
        while budget > 0, link.connection.wantsToSend(leg: ControlLink.leg, now: table.now) {
            guard sendControlPacket(link) else { break }
            budget -= 1
        }
        takeEvents(link, from: nil)
        handQueued(link)
        guard !link.isGone else { return }
        if budget == 0 { markDirty(link) }
        if let deadline = link.connection.nextDeadline {
            link.timer.schedule(at: deadline.nanoseconds)
        } else {
            link.timer.cancel()
        }
    }

    /// Sends one packet of a link's control connection, to its peer or to `address`.
    func sendControlPacket(_ link: ControlLink, to address: SocketAddress? = nil) -> Bool {
        let skipping = link.connection.numbersToSkip()
        let moment = table.now
        return table.sendControl(on: link.id, to: address, skipping: skipping) { payload, number in
            let before = link.connection.legStatus(ControlLink.leg)?.bytesInFlight ?? 0
            let isFilled = link.connection.writePacket(
                leg: ControlLink.leg, packetNumber: number, into: &payload, now: moment)
            let after = link.connection.legStatus(ControlLink.leg)?.bytesInFlight ?? 0
            return (isFilled, after > before)
        }
    }

    /// The control connection of a link has something to do.
    func deadlineReached(_ id: LinkID) {
        guard let link = find(id) else { return }
        table.now = now
        link.connection.deadlineReached(now: table.now)
        pump(link)
        armSweep()
    }

    // MARK: Events

    /// Takes what the control connection tells; `source` is where the packet came from that brought it.
    func takeEvents(_ link: ControlLink, from source: SocketAddress?) {
        while !link.isGone, let event = link.connection.nextEvent() {
            switch event {
            case .streamOpened(let stream): opened(link, stream)
            case .readable(let stream): readable(link, stream)
            case .writable(let stream):
                link.writeRequest(stream)
                link.writeAnswer(stream, now: table.now)
                link.extend(stream, to: table.now + configuration.messageTime)
                markDirty(link)
            case .reset(let stream, _), .stopSending(let stream, _):
                link.end(stream, .failure(.refused))
                if link.incoming[stream] != nil { link.refuse(stream) }
                markDirty(link)
            case .streamClosed(let stream):
                link.end(stream, .failure(.refused))
                if link.incoming[stream] != nil { markDirty(link) }
                link.endIncoming(stream)
            case .pathResponse(_, let data):
                if let source { challengeAnswered(link, data, from: source) }
            case .closed:
                pumpLast(link)
                remove(link, reason: .violation)
            case .finished, .streamsAvailable, .datagram, .legValidated, .legSuspect, .legActivated, .legClosed,
                .pathChallenge:
                break
            }
        }
        sendDestroys(link)
        // The peer has acknowledged the close.
        if link.closingUntil != nil, link.requests.isEmpty { remove(link, reason: .closedHere) }
    }

    /// Sends what a connection says last, one packet.
    func pumpLast(_ link: ControlLink) {
        if link.connection.wantsToSend(leg: ControlLink.leg, now: table.now) { _ = sendControlPacket(link) }
    }

    private func opened(_ link: ControlLink, _ stream: StreamID) {
        guard link.isOpen, link.isUp, link.incoming.count < configuration.messagesPerLink,
            link.bucket.take(now: table.now),
            addressShare(of: link.id).map({ messageRates.take($0, now: table.now) }) ?? true
        else {
            table.counters.messagesRefused += 1
            link.refuse(stream)
            return
        }
        let deadline = table.now + configuration.messageTime
        link.beginIncoming(stream, deadline: deadline)
        sweepBefore(deadline)
    }

    private func readable(_ link: ControlLink, _ stream: StreamID) {
        if var request = link.requests[stream] {
            link.requests[stream]!.answer = []
            guard link.read(stream, into: &request.answer, limit: request.message.longestAnswer) else {
                return link.end(stream, .failure(.refused))
            }
            link.requests[stream]!.answer = request.answer
            switch link.connection.readState(stream) {
            case .open: break
            case .finished, .unknown: link.end(stream, .success(request.answer))
            case .reset: link.end(stream, .failure(.refused))
            }
        } else if link.incoming[stream]?.phase == .arriving {
            var bytes = link.takeBytes(stream)
            let type = bytes.first.flatMap { messages[$0] }
            // Until the type is known, no more than the longest body of all is taken.
            let limit = 1 + (type?.longestBody ?? messages.longestBody)
            guard link.read(stream, into: &bytes, limit: limit) else { return refuse(link, stream) }
            if let first = bytes.first {
                guard let type = messages[first], bytes.count <= 1 + type.longestBody else {
                    return refuse(link, stream)
                }
            }
            link.put(bytes, stream)
            guard link.messageBytes <= link.messageMemory else { return refuse(link, stream) }
            switch link.connection.readState(stream) {
            case .open: break
            case .finished, .unknown: arrived(link, stream, bytes)
            case .reset: refuse(link, stream)
            }
        } else {
            // Bytes for what was refused or answered already.
            link.connection.stopSending(stream, code: 0)
        }
    }

    private func refuse(_ link: ControlLink, _ stream: StreamID) {
        table.counters.messagesRefused += 1
        link.refuse(stream)
        markDirty(link)
    }

    /// A message has come whole.
    private func arrived(_ link: ControlLink, _ stream: StreamID, _ bytes: [UInt8]) {
        guard let first = bytes.first, let type = messages[first], link.isOpen else {
            return refuse(link, stream)
        }
        let body = Array(bytes.dropFirst())
        let deadline = table.now + configuration.answerTime
        guard link.hand(stream, isLarge: type.longestAnswer >= ControlLink.largeAnswer, deadline: deadline) else {
            return sweepBefore(deadline)
        }
        link.put([], stream)
        switch LinkMessage(rawValue: type.raw) {
        case .rekey: answerRekey(link, stream, body)
        case .close:
            // Acknowledged, so that the peer does not repeat it to an end that has forgotten the link.
            link.answer(stream, [], part: 0..<0, now: table.now, limit: configuration.messageTime)
            pumpLast(link)
            remove(link, reason: .closedByPeer)
        case nil:
            link.idle.touch(now: table.now)
            sweepBefore(deadline)
            guard let control else { return refuse(link, stream) }
            control.received(
                type, body: body, from: link.id, responder: ControlResponder(link: link.id, stream: stream.value))
        }
        markDirty(link)
    }

    /// Hands over the messages that waited for a large one before them.
    private func handQueued(_ link: ControlLink) {
        while link.isOpen, let next = link.nextQueued() { arrived(link, next.stream, next.bytes) }
    }

    // MARK: Rekey

    private func answerRekey(_ link: ControlLink, _ stream: StreamID, _ body: [UInt8]) {
        guard let index = table.indices.take(for: UInt32(link.id.place)) else { return refuse(link, stream) }
        guard let answer = table.answerRekey(link.id, body, index: index) else {
            table.indices.free(index)
            return refuse(link, stream)
        }
        link.answer(stream, answer, part: 0..<answer.count, now: table.now, limit: configuration.messageTime)
    }

    /// Asks the peer for new keys.
    func startRekey(_ link: ControlLink) {
        guard let index = table.indices.take(for: UInt32(link.id.place)) else { return }
        let body = table.startRekey(link.id, index: index)
        let id = link.id
        let isBegun = begin(link, LinkMessage.rekey.kind, body, configuration.keys.rekeyRetry) { [weak self] result in
            self?.finishRekey(id, result)
        }
        if !isBegun { finishRekey(id, .failure(.limit)) }
    }

    private func finishRekey(_ id: LinkID, _ result: Result<[UInt8], ControlFailure>) {
        guard let link = find(id), table.isLive(id) else { return }
        let answer: [UInt8]? = if case .success(let answer) = result { answer } else { nil }
        guard table.finishRekey(id, answer) else { return }
        table.counters.rekeys += 1
        // The peer goes over to the new keys with the first packet under them.
        link.connection.ping(ControlLink.leg)
        markDirty(link)
    }
}

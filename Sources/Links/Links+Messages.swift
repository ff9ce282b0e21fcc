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
        on link: LinkID, _ message: ControlMessage, body: [UInt8], timeout: TimeSpan = .seconds(10),
        reply: @escaping (Result<[UInt8], ControlFailure>) -> Void
    ) {
        precondition(message != .rekey && message != .close, "the link itself renews its keys and closes")
        guard let state = find(link), state.isOpen else { return later { reply(.failure(.linkDown)) } }
        guard begin(state, message, body, timeout, reply) else { return later { reply(.failure(.limit)) } }
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
            let isBegun = begin(link, .destroy, writer.bytes, .seconds(10)) { [weak self] result in
                guard let self, let link = find(id) else { return }
                link.line.ended(next, wasSent: true)
                if case .failure = result { link.line.addAgain(next, at: now) }
            }
            guard isBegun else { return link.line.ended(next, wasSent: false) }
        }
    }

    /// Sends a control message whose answer does not matter; dropped when the link is gone or has too many under way.
    public func send(on link: LinkID, _ message: ControlMessage, body: [UInt8]) {
        precondition(message != .rekey && message != .close, "the link itself renews its keys and closes")
        guard let state = find(link), state.isOpen else { return }
        _ = begin(state, message, body, .seconds(10), nil)
    }

    func begin(
        _ link: ControlLink, _ message: ControlMessage, _ body: [UInt8], _ timeout: TimeSpan,
        _ reply: ((Result<[UInt8], ControlFailure>) -> Void)?
    ) -> Bool {
        let deadline = now + timeout
        guard
            link.begin(message, body: body, deadline: deadline, limit: configuration.requestsPerLink, reply: reply)
        else { return false }
        if message != .rekey { link.idle.touch(now: now) }
        markDirty(link)
        sweepBefore(deadline)
        return true
    }

    /// Answers a control message; does nothing when it was answered, timed out, or its link is gone.
    public func answer(_ responder: ControlResponder, _ body: [UInt8]) {
        guard let link = find(responder.link), link.isOpen else { return }
        if body.count > 64 << 10 {
            let held = links.reduce(0) { $0 + ($1?.answerBytes ?? 0) }
            guard held + body.count <= configuration.answerMemory else { return refuse(responder) }
        }
        link.answer(StreamID(responder.stream), body, deadline: now + configuration.messageTime)
        markDirty(link)
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
    func takeEvents(_ link: ControlLink, from source: Endpoint?) {
        while !link.isGone, let event = link.connection.nextEvent() {
            switch event {
            case .streamOpened(let stream): opened(link, stream)
            case .readable(let stream): readable(link, stream)
            case .writable(let stream):
                link.writeRequest(stream)
                link.writeAnswer(stream)
                link.incoming[stream]?.deadline = table.now + configuration.messageTime
                markDirty(link)
            case .reset(let stream, _), .stopSending(let stream, _):
                link.end(stream, .failure(.refused))
                if link.incoming[stream] != nil { link.refuse(stream) }
                markDirty(link)
            case .streamClosed(let stream):
                link.end(stream, .failure(.refused))
                link.incoming[stream] = nil
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
    private func pumpLast(_ link: ControlLink) {
        if link.connection.wantsToSend(leg: ControlLink.leg, now: table.now) { _ = sendControlPacket(link) }
    }

    private func opened(_ link: ControlLink, _ stream: StreamID) {
        guard link.isOpen, link.isUp, link.incoming.count < configuration.messagesPerLink,
            link.bucket.take(now: table.now)
        else {
            table.counters.messagesRefused += 1
            link.refuse(stream)
            return
        }
        let deadline = table.now + configuration.messageTime
        link.incoming[stream] = ControlLink.Incoming(deadline: deadline)
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
        } else if var message = link.incoming[stream], message.phase == .arriving {
            link.incoming[stream]!.bytes = []
            let type = message.bytes.first.flatMap(ControlMessage.init(rawValue:))
            // Until the type is known, no more than the longest body of all is taken.
            let limit = 1 + (type?.longestBody ?? ControlMessage.publish.longestBody)
            guard link.read(stream, into: &message.bytes, limit: limit) else { return refuse(link, stream) }
            if let first = message.bytes.first {
                guard let type = ControlMessage(rawValue: first), message.bytes.count <= 1 + type.longestBody else {
                    return refuse(link, stream)
                }
            }
            link.incoming[stream]!.bytes = message.bytes
            guard link.messageBytes <= link.messageMemory else { return refuse(link, stream) }
            switch link.connection.readState(stream) {
            case .open: break
            case .finished, .unknown: arrived(link, stream, message.bytes)
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
        guard let first = bytes.first, let type = ControlMessage(rawValue: first), link.isOpen else {
            return refuse(link, stream)
        }
        let body = Array(bytes.dropFirst())
        let deadline = table.now + configuration.answerTime
        link.incoming[stream]!.phase = .waiting
        link.incoming[stream]!.bytes = []
        link.incoming[stream]!.deadline = deadline
        switch type {
        case .rekey: answerRekey(link, stream, body)
        case .close:
            // Acknowledged, so that the peer does not repeat it to an end that has forgotten the link.
            link.answer(stream, [], deadline: deadline)
            pumpLast(link)
            remove(link, reason: .closedByPeer)
        default:
            link.idle.touch(now: table.now)
            sweepBefore(deadline)
            guard let control else { return refuse(link, stream) }
            control.received(
                type, body: body, from: link.id, responder: ControlResponder(link: link.id, stream: stream.value))
        }
        markDirty(link)
    }

    // MARK: Rekey

    private func answerRekey(_ link: ControlLink, _ stream: StreamID, _ body: [UInt8]) {
        guard let index = table.indices.take(for: UInt32(link.id.place)) else { return refuse(link, stream) }
        guard let answer = table.answerRekey(link.id, body, index: index) else {
            table.indices.free(index)
            return refuse(link, stream)
        }
        link.answer(stream, answer, deadline: table.now + configuration.messageTime)
    }

    /// Asks the peer for new keys.
    func startRekey(_ link: ControlLink) {
        guard let index = table.indices.take(for: UInt32(link.id.place)) else { return }
        let body = table.startRekey(link.id, index: index)
        let id = link.id
        let isBegun = begin(link, .rekey, body, configuration.keys.rekeyRetry) { [weak self] result in
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

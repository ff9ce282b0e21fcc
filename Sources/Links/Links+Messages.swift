internal import EventLoop
internal import Link
internal import Messages
internal import Transport
public import Wire

/// Control messages (protocol.md, section 8), as `MessageExchange` directs.
extension Links {
    /// Sends a control message and waits up to `timeout` for its answer.
    ///
    /// `reply` runs once, after this call has returned.
    public func request(
        on link: LinkID, _ message: some MessageFamily, body: [UInt8], timeout: TimeSpan = .seconds(10),
        reply: @escaping (Result<[UInt8], ControlFailure>) -> Void
    ) {
        guard let state = find(link), state.isOpen else { return later { reply(.failure(.linkDown)) } }
        guard begin(state, message.kind, body, timeout, reply) else { return later { reply(.failure(.limit)) } }
    }

    /// Tells the peer that the path with the peer's id `pathID` has ended.
    ///
    /// If the link has too many messages under way, the message waits its turn. It is sent again if the peer refuses
    /// it.
    public func destroy(_ pathID: UInt64, on link: LinkID) {
        guard let state = find(link), state.isOpen else { return }
        state.exchange.destroy(pathID, now: now)
        markDirty(state)
    }

    /// Sends a control message and ignores its answer; dropped if the link is gone or has too many messages under way.
    public func send(on link: LinkID, _ message: some MessageFamily, body: [UInt8]) {
        guard let state = find(link), state.isOpen else { return }
        _ = begin(state, message.kind, body, .seconds(10), nil)
    }

    private func begin(
        _ link: ControlLink, _ kind: MessageKind, _ body: [UInt8], _ timeout: TimeSpan, _ reply: ControlLink.Reply?
    ) -> Bool {
        guard link.begin(kind, body, timeout: timeout, now: now, reply: reply) else { return false }
        if kind != LinkMessage.rekey.kind { link.idle.touch(now: now) }
        markDirty(link)
        sweepMessages(link)
        return true
    }

    /// Answers a control message; has no effect if it was answered, has timed out, or its link is gone.
    public func answer(_ responder: ControlResponder, _ body: [UInt8]) {
        answer(responder, body, part: 0..<body.count)
    }

    /// Answers a control message with a part of `bytes`, which is not copied if it is most of them.
    ///
    /// Refuses it if the peer has had many parts copied lately.
    public func answer(_ responder: ControlResponder, _ bytes: [UInt8], part: Range<Int>) {
        let stream = StreamID(responder.stream)
        guard let link = find(responder.link), link.isOpen, link.exchange.isWaiting(stream) else { return }
        let isMost = part.count >= bytes.count / 4 * 3
        guard isMost || link.copies.take(part.count, now: now), takeMemory(part.count, for: responder) else {
            return refuse(responder)
        }
        if isMost {
            link.exchange.answer(stream, bytes, part: part, now: now)
        } else {
            // Only the part is counted, so it must not keep the rest in memory.
            link.exchange.answer(stream, Array(bytes[part]), part: 0..<part.count, now: now)
        }
        markDirty(link)
        sweepMessages(link)
    }

    /// Takes memory for an answer of `count` bytes; false if there is none.
    ///
    /// Answers whose peers do not read give way.
    private func takeMemory(_ count: Int, for responder: ControlResponder) -> Bool {
        guard let source = list.source(of: responder.link) else { return false }
        while true {
            switch messages.answers.take(count, for: responder, of: source, now: now) {
            case .granted: return true
            case .refused: return false
            case .after(let other):
                messages.answers.release(other)
                guard let link = find(other.link) else { continue }
                table.counters.messagesRefused += 1
                link.exchange.abandon(StreamID(other.stream))
                markDirty(link)
            }
        }
    }

    /// Refuses a control message: resets its stream without a reason.
    public func refuse(_ responder: ControlResponder) {
        guard let link = find(responder.link), link.isOpen else { return }
        link.exchange.refuse(StreamID(responder.stream))
        markDirty(link)
    }

    /// Notes that a path uses the link, so that it does not close for idleness.
    public func addPath(on link: LinkID) { find(link)?.idle.addPath() }

    /// Notes that a path no longer uses the link.
    public func removePath(on link: LinkID) { find(link)?.idle.removePath(now: now) }

    // MARK: Answers on their way

    /// Whether a message still waits for its answer, or the peer has not acknowledged all of the answer; false if the
    /// link is gone.
    public func isAnswering(_ responder: ControlResponder) -> Bool {
        guard let link = find(responder.link), link.isOpen else { return false }
        return link.exchange.isAnswering(StreamID(responder.stream))
    }

    /// Ends an answer that the peer does not read: drops the rest and resets its stream.
    public func abandon(_ responder: ControlResponder) {
        guard isAnswering(responder), let link = find(responder.link) else { return }
        link.exchange.abandon(StreamID(responder.stream))
        markDirty(link)
    }

    // MARK: Sending

    /// Sends the packets that a link's control connection has ready, 128 at most in a turn.
    func pump(_ link: ControlLink) {
        guard !link.isGone else { return }
        // The actions may give the connection something to send.
        perform(link, from: nil)
        var (budget, isHeldUp) = (128, false)
        while budget > 0, !link.isGone, link.exchange.wantsToSend(now: table.now) {
            guard sendControlPacket(link) else {
                isHeldUp = !table.hasRoom(on: link.id)
                break
            }
            budget -= 1
        }
        guard !link.isGone else { return }
        perform(link, from: nil)
        guard !link.isGone else { return }
        if budget == 0 { markDirty(link) }
        if isHeldUp {
            // The socket took no packet. Nothing tells the link when it does, and a deadline may be over already.
            return link.timer.schedule(at: loop.now + link.roomWait.next())
        }
        link.roomWait.ended()
        if let deadline = link.exchange.nextDeadline {
            link.timer.schedule(at: deadline.nanoseconds)
        } else {
            link.timer.cancel()
        }
    }

    /// Sends one packet of a link's control connection, to its peer or to `address`.
    func sendControlPacket(_ link: ControlLink, to address: SocketAddress? = nil) -> Bool {
        let moment = table.now
        let skipping = link.exchange.numbersToSkip()
        return table.sendControl(on: link.id, to: address, sealing: &link.keyring, skipping: skipping) {
            payload, number in
            link.exchange.writePacket(number: number, into: &payload, now: moment)
        }
    }

    /// Sends the last packet of a connection that ends.
    func pumpLast(_ link: ControlLink) {
        if link.exchange.wantsToSend(now: table.now) { _ = sendControlPacket(link) }
    }

    /// The deadline of a link's control connection has come.
    func deadlineReached(_ id: LinkID) {
        guard let link = find(id) else { return }
        table.now = now
        link.exchange.deadlineReached(now: table.now)
        pump(link)
        armSweep()
    }

    // MARK: Actions

    /// Performs the actions that a link's exchange asks for; `source` is the address of the packet that caused them.
    func perform(_ link: ControlLink, from source: SocketAddress?) {
        while !link.isGone, let action = nextAction(link) {
            switch action {
            case .received(let kind, let body, let stream): received(link, kind, body, stream)
            case .rekey(let body, let stream): answerRekey(link, stream, body)
            case .answered(let stream, let result): link.takeReply(stream)?(result)
            case .answerMoved(let stream, let sent):
                messages.answers.moved(
                    ControlResponder(link: link.id, stream: stream.value), sent: sent, now: table.now)
            case .answerEnded(let stream):
                messages.answers.release(ControlResponder(link: link.id, stream: stream.value))
            case .refused: table.counters.messagesRefused += 1
            case .pathResponse(let data): if let source { challengeAnswered(link, data, from: source) }
            case .closed:
                pumpLast(link)
                remove(link, reason: .closedByPeer)
            case .violated:
                pumpLast(link)
                remove(link, reason: .violation)
            }
        }
        guard !link.isGone else { return }
        sweepMessages(link)
        if link.closingUntil != nil, link.exchange.isCloseAcknowledged { remove(link, reason: .closedHere) }
    }

    private func nextAction(_ link: ControlLink) -> MessageExchange.Action? {
        link.exchange.nextAction(now: table.now) {
            // All links of one address share a rate.
            link.isUp && (addressShare(of: link.id).map { messages.admits($0, now: table.now) } ?? true)
        }
    }

    private func received(_ link: ControlLink, _ kind: MessageKind, _ body: [UInt8], _ stream: StreamID) {
        link.idle.touch(now: table.now)
        let responder = ControlResponder(link: link.id, stream: stream.value)
        if let control {
            control.received(kind, body: body, from: link.id, responder: responder)
        } else {
            table.counters.messagesRefused += 1
            refuse(responder)
        }
    }

    // MARK: Rekey

    private func answerRekey(_ link: ControlLink, _ stream: StreamID, _ body: [UInt8]) {
        guard let index = takeIndex(of: link.owner, for: UInt32(link.id.place)) else {
            return link.exchange.refuse(stream)
        }
        guard let answer = link.keyring.answerRekey(body.rawSpan, localIndex: index, now: table.now) else {
            freeIndex(index)
            return link.exchange.refuse(stream)
        }
        link.rekeyAnswer = (stream, answer.body)
        let sendKey = answer.sendKey
        follow(orders.expect(link.id, answer.takeKeys(), sendKey))
    }

    /// Follows up on what all workers have done.
    func follow(_ progress: [LinkProgress]) {
        for step in progress {
            switch step {
            case .stands(let id): stands(id)
            // Of a link that this worker owns, the batch itself has told of both, and its table has its indices back.
            case .confirmed(let id): confirmed(id)
            case .switched(let id): switched(id)
            case .forgotten(let indices, let owner): if owner != 0 { for index in indices { crew.free(index) } }
            case .gone(let id): table.freePlace(of: id)
            case .expects(let id):
                guard let link = find(id), let (stream, message) = link.rekeyAnswer.take() else { continue }
                link.exchange.answer(stream, message, part: 0..<message.count, now: table.now)
                // The batch that brought the question is over if another worker had to answer first.
                if link.owner != 0 { markDirty(link) }
            case .uses(let id):
                guard let link = find(id) else { continue }
                link.keyring.retireReplaced()
                if crew.hasOthers, link.isInitiator { greet(link) }
            }
        }
    }

    /// Sends a packet under new keys: at the first one the peer goes over to them.
    private func greet(_ link: ControlLink) {
        link.exchange.ping()
        markDirty(link)
    }

    /// Asks the peer for new keys.
    func startRekey(_ link: ControlLink) {
        guard let index = takeIndex(of: link.owner, for: UInt32(link.id.place)) else { return }
        let body = link.keyring.startRekey(localIndex: index)
        freeRekeys(of: link)
        let id = link.id
        let isBegun = begin(link, LinkMessage.rekey.kind, body, configuration.keys.rekeyRetry) { [weak self] result in
            self?.finishRekey(id, result)
        }
        if !isBegun { finishRekey(id, .failure(.limit)) }
    }

    private func finishRekey(_ id: LinkID, _ result: Result<[UInt8], ControlFailure>) {
        guard let link = find(id), table.isLive(id) else { return }
        defer { freeRekeys(of: link) }
        guard case .success(let answer) = result else { return link.keyring.rekeyFailed(now: table.now) }
        guard let keys = link.keyring.finishRekey(answer.rawSpan, now: table.now) else { return }
        follow(orders.renew(id, keys, link.keyring.sendKey))
        table.counters.rekeys += 1
        // With other workers the send key is not in use yet.
        if !crew.hasOthers { greet(link) }
    }

    /// Frees the receiver indices of rekeys that failed.
    private func freeRekeys(of link: ControlLink) {
        for index in link.keyring.takeRetired() { freeIndex(index) }
    }
}

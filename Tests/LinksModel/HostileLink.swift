internal import EventLoop
internal import Link
internal import LinkModel
internal import Messages
internal import OnionCrypto
internal import SeededRandom
internal import Transport
internal import Wire

/// A link of the hostile peer, which has its keys and a connection, and lies in all that it says.
final class HostileLink {
    private unowned let hostile: Hostile
    private var end: LinkEnd
    private var connection: Connection
    let target: Int
    private var source: SocketAddress
    private var streams: [StreamID] = []
    /// The stream of its REKEY, which waits for an answer.
    private var rekey: StreamID?
    private var isDeaf = false
    /// Whether it was forgotten, or its keys are over.
    private(set) var isOver = false

    init(
        _ hostile: Hostile, _ link: consuming NewLink, target: Int, source: SocketAddress, isInitiator: Bool
    ) {
        self.hostile = hostile
        self.target = target
        self.source = source
        end = LinkEnd(link)
        connection = Connection(
            role: isInitiator ? .initiator : .responder, configuration: .control, seed: hostile.random.next())
        connection.addLeg(
            MessageExchange.leg, payloadSize: LinksModel.network.packetSize - Wire.Packet.payloadOffset,
            now: hostile.now)
    }

    /// Shows that it has the keys.
    func begin() {
        connection.ping(MessageExchange.leg)
        pump()
    }

    func tick() {
        guard !isOver else { return }
        if let deadline = connection.nextDeadline, hostile.now >= deadline {
            connection.deadlineReached(now: hostile.now)
        }
        if end.expire(now: hostile.now) { isOver = true }
        if !isDeaf { pump() }
    }

    // MARK: Packets

    /// A packet of the honest end.
    func take(_ datagram: [UInt8], at address: SocketAddress) {
        guard !isOver, !isDeaf else { return }
        hostile.model.proves(address)
        var bytes = datagram
        var span = bytes.mutableRawSpan
        let (index, counter) = (span.receiverIndex, span.linkCounter)
        guard end.openHeader(&span) == nil, span.pathID == 0, case .opened(let number) = end.openControl(&span),
            end.commitControl(packetNumber: number),
            end.commit(index: index, counter: counter, now: hostile.now) != .duplicate
        else { return }
        let payload = span.bytes.extracting(Wire.Packet.payloadOffset..<datagram.count)
        _ = connection.receive(leg: MessageExchange.leg, packetNumber: number, payload: payload, now: hostile.now)
        while let event = connection.nextEvent() { handle(event) }
        pump()
    }

    private func handle(_ event: ConnectionEvent) {
        switch event {
        case .streamOpened(let stream): keep(stream)
        case .readable(let stream): read(stream)
        case .streamClosed(let stream): streams.removeAll { $0 == stream }
        default: break
        }
    }

    private func keep(_ stream: StreamID) { if streams.count < 64 { streams.append(stream) } }

    /// Reads, or does not, and answers with what it likes.
    private func read(_ stream: StreamID) {
        guard hostile.draw(4) > 0 else { return }
        var bytes: [UInt8] = []
        _ = connection.withReadable(stream) { span in
            bytes = [UInt8](copying: span)
            return span.byteCount
        }
        if stream == rekey {
            guard bytes.count == LinkKeyring.rekeyMessageSize else { return }
            _ = end.finishRekey(bytes.rawSpan, now: hostile.now)
            rekey = nil
            return begin()
        }
        guard stream.isInitiators != end.isInitiator, hostile.draw(3) > 0 else { return }
        var answer = hostile.bytes(hostile.draw(120))
        if bytes.count == 1 + LinkKeyring.rekeyMessageSize, bytes[0] == LinkMessage.rekey.rawValue, hostile.draw(3) > 0
        {
            let index = hostile.freshIndex()
            if let body = end.answerRekey(Array(bytes[1...]).rawSpan, localIndex: index, now: hostile.now) {
                hostile.lead(index, to: self)
                answer = body
            }
        }
        _ = connection.write(stream, answer.rawSpan)
        if hostile.draw(5) > 0 { connection.finish(stream) }
    }

    /// Sends what the connection has to send, a few packets at most.
    private func pump() {
        var budget = 6
        while budget > 0, !isOver, connection.wantsToSend(leg: MessageExchange.leg, now: hostile.now) {
            budget -= 1
            let now = hostile.now
            end.skipControlNumbers(connection.numbersToSkip())
            let number = end.nextControlNumber
            var payload = [UInt8](repeating: 0, count: LinksModel.network.packetSize - Wire.Packet.payloadOffset)
            var span = payload.mutableRawSpan
            guard connection.writePacket(leg: MessageExchange.leg, packetNumber: number, into: &span, now: now) else {
                return
            }
            sendControl(payload)
        }
    }

    private func sendControl(_ payload: [UInt8]) {
        var bytes = [UInt8](repeating: 0, count: Wire.Packet.payloadOffset) + payload
        var span = bytes.mutableRawSpan
        span.pathID = 0
        guard end.sealControl(&span) else { return isOver = true }
        hostile.say(bytes, from: source, to: target)
    }

    private func sendData(pathID: UInt64) {
        var bytes = hostile.bytes(LinksModel.network.packetSize)
        bytes[Wire.Packet.payloadOffset] = Ledger.hostile
        var span = bytes.mutableRawSpan
        span.pathID = max(1, pathID)
        guard end.sealHeader(&span) else { return isOver = true }
        hostile.say(bytes, from: source, to: target)
    }

    // MARK: Attacks

    /// One hostile act on this link.
    func attack(_ choose: (Int) -> Int) {
        guard !isOver else { return }
        switch choose(18) {
        case 0, 1, 2: ask(choose)
        case 3:
            // Many at once: long answers that it may never read.
            for _ in 0...choose(30) { ask([Message.large.rawValue] + [Ledger.hostile], finishes: true) }
        case 4:
            // The ends of paths, whose ids it makes up.
            for _ in 0...choose(40) {
                ask([PathMessage.destroy.rawValue] + hostile.bytes(8), finishes: true)
            }
        case 5:
            if let stream = stream(choose) {
                _ = connection.write(stream, [UInt8](repeating: 9, count: choose(3_000)).rawSpan)
            }
        case 6: if let stream = stream(choose) { connection.finish(stream) }
        case 7: if let stream = stream(choose) { connection.reset(stream, code: UInt64(choose(300))) }
        case 8: if let stream = stream(choose) { connection.stopSending(stream, code: UInt64(choose(300))) }
        case 9: for _ in 0...choose(20) { sendData(pathID: hostile.random.next() >> 8) }
        case 10: startRekey(choose)
        case 11: source = source == Hostile.endpoint ? source : Hostile.own[choose(Hostile.own.count)]
        case 12: isDeaf.toggle()
        case 13 where choose(4) == 0:
            // Bytes in place of frames.
            var payload = [UInt8](repeating: 0, count: LinksModel.network.packetSize - Wire.Packet.payloadOffset)
            for place in 0..<choose(24) { payload[place] = UInt8(truncatingIfNeeded: choose(256)) }
            sendControl(payload)
        case 14 where choose(4) == 0: connection.close(code: UInt64(choose(3)))
        case 15 where choose(4) == 0: ask([LinkMessage.close.rawValue], finishes: true)
        case 16 where choose(3) == 0: isOver = true
        case 17: connection.challenge(MessageExchange.leg, data: hostile.random.next())
        default: connection.ping(MessageExchange.leg)
        }
        pump()
    }

    private func stream(_ choose: (Int) -> Int) -> StreamID? { streams.isEmpty ? nil : streams[choose(streams.count)] }

    /// A message of a kind that exists or not, as long as it may be or not.
    private func ask(_ choose: (Int) -> Int) {
        let kinds = Message.allCases.map(\.rawValue) + [1, 2, 3, 4, UInt8(truncatingIfNeeded: choose(256))]
        let kind = kinds[choose(kinds.count)]
        let longest = Message(rawValue: kind)?.longestBody ?? 52
        let length = choose(5) == 0 ? choose(21_000) : max(0, longest + choose(3) - 1)
        ask([kind] + [UInt8](repeating: Ledger.hostile, count: length), finishes: choose(4) > 0)
    }

    private func ask(_ bytes: [UInt8], finishes: Bool) {
        guard let stream = try? connection.openStream() else { return }
        keep(stream)
        _ = connection.write(stream, bytes.rawSpan)
        if finishes { connection.finish(stream) }
    }

    /// New keys, as an initiator may ask for them, or bytes that are none.
    private func startRekey(_ choose: (Int) -> Int) {
        guard end.isInitiator, rekey == nil, let stream = try? connection.openStream() else { return }
        var body = hostile.bytes(LinkKeyring.rekeyMessageSize)
        if choose(4) > 0 {
            let index = hostile.freshIndex()
            hostile.lead(index, to: self)
            body = end.keyring.startRekey(localIndex: index)
            rekey = stream
        }
        _ = connection.write(stream, ([LinkMessage.rekey.rawValue] + body).rawSpan)
        connection.finish(stream)
    }
}

// One file: the steps of the model share private state.

internal import Link
internal import Messages
internal import Transport
internal import Wire

/// A node with the links of an honest client and a hostile client, and the control messages on both links.
///
/// The choices come from outside: a seed, or a fuzzer's input. The network loses, delays and reorders packets. The
/// hostile client speaks the transport and lies in everything above it, or lies in the transport too. It also stalls,
/// repeats and goes away.
///
/// A broken expectation traps. An honest message arrives whole and once; its answer is the right one or a failure.
/// Every message that `begin` accepted ends once. Whatever the hostile client does, tables and memory keep their
/// bounds and the honest client is served.
public struct ExchangeModel: ~Copyable {
    /// The events that a run reached, so that a test can tell that it tried something.
    public struct Reached: Sendable {
        /// Messages between the honest client and the node that were answered, refused and timed out.
        public var answered = 0, refused = 0, timedOut = 0
        /// Paths whose end the other end was told.
        public var destroyed = 0
        /// Messages of the hostile client that were handed over.
        public var hostile = 0
        /// Long answers that gave way to others.
        public var gaveWay = 0
        /// Links of the hostile client that ended because of a violation.
        public var violations = 0

        /// Counts of zero.
        public init() {}
    }

    /// Messages whose bodies and answers have different limits.
    private enum Kind: UInt8, CaseIterable, MessageFamily {
        case short = 40, bringing, asking, large, larger

        var longestBody: Int {
            switch self {
            case .short, .asking: 64
            case .bringing: 40_000
            case .large, .larger: 8
            }
        }

        var longestAnswer: Int {
            switch self {
            case .short: 100
            case .bringing: 0
            case .asking: 150_000
            case .large, .larger: 1 << 20
            }
        }
    }

    /// One honest end of a link.
    private final class End {
        var exchange: MessageExchange
        let source: LinkSource
        var number: UInt64 = 0
        /// Messages of this end that have not ended.
        var asked: [StreamID: (kind: Kind, body: [UInt8])] = [:]
        /// Paths that this end has ended with DESTROY.
        var destroyed: Set<UInt64> = []
        /// Messages of the peer that wait for an answer, and the streams of all that were ever handed over.
        var waiting: [(stream: StreamID, kind: MessageKind, body: [UInt8])] = []
        var handed: Set<StreamID> = []

        init(_ role: ConnectionRole, _ limits: MessageExchange.Limits, _ source: LinkSource, seed: UInt64, now: Instant)
        {
            exchange = MessageExchange(
                role: role, connection: .control, payloadSize: ExchangeModel.payloadSize, seed: seed,
                kinds: MessageTable(Kind.kinds + PathMessage.kinds), limits: limits, now: now)
            self.source = source
        }
    }

    /// A packet on its way.
    private struct Flight {
        let link: Int
        let toNode: Bool
        let number: UInt64
        let bytes: [UInt8]
    }

    private struct Answer: Hashable {
        let link: Int
        let stream: StreamID
    }

    fileprivate static let payloadSize = 1_100
    private static let memory = 1 << 20
    private static let longestReply = 290_000
    private let limits = MessageExchange.Limits(
        incoming: 8, requests: 12, destroys: 100, rate: (rate: 50, burst: 200), unfinishedBytes: 100_000,
        arrivalTime: .seconds(30), answerTime: .seconds(60))
    private var now = Instant(nanoseconds: 1_000_000_000_000)
    private let client: End
    /// The node's ends: of the honest client's link, and of the hostile client's link.
    private let node: [End]
    private var answers = AnswerMemory<Answer>(bytes: memory, longest: 1 << 20)
    private var flights: [Flight] = []

    /// The hostile client's end.
    private var hostile: Connection
    private var hostileNumber: UInt64 = 0
    private var hostileStreams: [StreamID] = []
    /// Whether the hostile client ignores packets.
    private var isDeaf = false
    /// Whether the hostile client sends nothing any more.
    private var isGone = false
    private var seed: UInt64 = 1
    private var path: UInt64 = 0

    /// The events that this run reached.
    public private(set) var reached = Reached()

    /// A node with two links that have just come up.
    public init() {
        let start = now
        let honest = LinkSource.client(AddressShare(IPAddress(v4: 0x0a00_0001)))
        let other = LinkSource.client(AddressShare(IPAddress(v4: 0x0a00_0002)))
        client = End(.initiator, limits, honest, seed: 2, now: start)
        node = [
            End(.responder, limits, honest, seed: 3, now: start), End(.responder, limits, other, seed: 4, now: start),
        ]
        hostile = Connection(role: .initiator, configuration: .control, seed: 5)
        hostile.addLeg(MessageExchange.leg, payloadSize: Self.payloadSize, now: start)
    }

    // MARK: Steps

    /// One step; `choose` draws a number below its argument.
    public mutating func step(_ choose: (Int) -> Int) {
        now = now + .milliseconds(Int64(choose(40)))
        switch choose(16) {
        case 0, 1: ask(client, choose)
        case 2: ask(node[0], choose)
        case 3: ask(node[1], choose)
        case 4: destroy(choose(2) == 0 ? client : node[0], choose)
        case 5, 6, 7: answer(choose)
        case 8: refuse(choose)
        case 9: if !flights.isEmpty { flights.remove(at: choose(flights.count)) }
        case 10:
            // Mostly a short time, now and then as long as a message may take.
            now = now + .milliseconds(Int64(choose(12) == 0 ? choose(70) * 1_000 : choose(1_500)))
            passTime()
        default: attack(choose)
        }
        settle()
        pump()
        for _ in 0..<choose(12) { deliver(choose) }
        settle()
        check()
    }

    private mutating func ask(_ end: End, _ choose: (Int) -> Int) {
        let kind = Kind.allCases[choose(Kind.allCases.count)]
        // Now and then the body is too long; then the message must not begin.
        let length = choose(20) == 0 ? kind.longestBody + 1 : choose(min(kind.longestBody, 2_000) + 1)
        let body = [UInt8](repeating: UInt8(truncatingIfNeeded: choose(256)), count: length)
        let stream = end.exchange.begin(
            kind.kind, body: body, timeout: .milliseconds(Int64(1 + choose(20_000))), now: now)
        guard let stream else { return }
        precondition(length <= kind.longestBody, "a body that is too long is sent")
        precondition(end.asked[stream] == nil, "two messages on one stream")
        end.asked[stream] = (kind, body)
    }

    private mutating func destroy(_ end: End, _ choose: (Int) -> Int) {
        for _ in 0...choose(8) {
            path += 1
            end.destroyed.insert(path)
            end.exchange.destroy(path, now: now)
        }
    }

    private func ends() -> [End] { [client, node[0], node[1]] }

    /// The answer to a message; the asker computes it too.
    private static func reply(_ kind: MessageKind, _ body: [UInt8]) -> [UInt8] {
        let first = body.first ?? 7
        // A few are so long that the connection does not take them at once.
        let wanted = (body.count + Int(first)) % 12 == 0 ? longestReply : (body.count * 977 + Int(first)) % 3_000
        let length = min(kind.longestAnswer, wanted)
        let head = [UInt8](0..<100).map { $0 &+ first &+ UInt8(truncatingIfNeeded: body.count) }
        return head.prefix(length) + [UInt8](repeating: first, count: max(0, length - head.count))
    }

    private mutating func answer(_ choose: (Int) -> Int) {
        let link = choose(3)
        let end = ends()[link]
        guard !end.waiting.isEmpty else { return }
        answer(end, link, end.waiting.remove(at: choose(end.waiting.count)), offset: choose(100))
    }

    private mutating func answer(
        _ end: End, _ link: Int, _ message: (stream: StreamID, kind: MessageKind, body: [UInt8]), offset: Int
    ) {
        let reply = message.kind.raw == PathMessage.destroy.rawValue ? [] : Self.reply(message.kind, message.body)
        guard end.exchange.isWaiting(message.stream) else { return }
        while true {
            let answer = Answer(link: link, stream: message.stream)
            switch answers.take(reply.count, for: answer, of: end.source, now: now) {
            case .granted:
                let bytes = [UInt8](repeating: 0xee, count: offset) + reply + [0xee]
                end.exchange.answer(message.stream, bytes, part: offset..<offset + reply.count, now: now)
                // A second answer has no effect.
                end.exchange.answer(message.stream, [1, 2, 3], part: 0..<3, now: now)
                end.exchange.refuse(message.stream)
                return
            case .refused: return end.exchange.refuse(message.stream)
            case .after(let other):
                answers.release(other)
                reached.gaveWay += 1
                ends()[other.link].exchange.abandon(other.stream)
            }
        }
    }

    private func refuse(_ choose: (Int) -> Int) {
        let end = ends()[choose(3)]
        guard !end.waiting.isEmpty else { return }
        end.exchange.refuse(end.waiting.remove(at: choose(end.waiting.count)).stream)
    }

    // MARK: The hostile client

    private mutating func attack(_ choose: (Int) -> Int) {
        switch choose(12) {
        case 0, 1, 2:
            guard let stream = try? hostile.openStream() else { return }
            // A known kind, a kind of the link's own, or any byte.
            let kinds: [UInt8] = [40, 41, 42, 43, 44, 2, 3, UInt8(truncatingIfNeeded: choose(256))]
            let kind = kinds[choose(kinds.count)]
            let known = Kind(rawValue: kind)?.longestBody ?? 8
            let length = choose(6) == 0 ? choose(20_000) : max(0, known + choose(3) - 1)
            hostileStreams.append(stream)
            _ = hostile.write(stream, ([kind] + [UInt8](repeating: kind, count: length)).rawSpan)
            if choose(4) > 0 { hostile.finish(stream) }
        case 3:
            if let stream = hostileStream(choose) {
                _ = hostile.write(stream, [UInt8](repeating: 9, count: choose(3_000)).rawSpan)
            }
        case 4: if let stream = hostileStream(choose) { hostile.finish(stream) }
        case 5: if let stream = hostileStream(choose) { hostile.reset(stream, code: UInt64(choose(300))) }
        case 6: if let stream = hostileStream(choose) { hostile.stopSending(stream, code: UInt64(choose(300))) }
        case 7:
            if let stream = hostileStream(choose) {
                _ = hostile.withReadable(stream) { min($0.byteCount, choose(5_000)) }
            }
        case 8: isDeaf.toggle()
        case 9 where choose(3) == 0:
            // A packet with random bytes in place of frames.
            var payload = [UInt8](repeating: 0, count: Self.payloadSize)
            for place in 0..<choose(24) { payload[place] = UInt8(truncatingIfNeeded: choose(256)) }
            hostileNumber += 1
            flights.append(Flight(link: 1, toNode: true, number: hostileNumber, bytes: payload))
        case 10:
            // Many messages at once.
            for number in 0..<choose(40) {
                guard let stream = try? hostile.openStream() else { return }
                hostileStreams.append(stream)
                _ = hostile.write(stream, [43, 0, 0, 0, 0, 0, 0, 0, UInt8(truncatingIfNeeded: number)].rawSpan)
                hostile.finish(stream)
            }
        case 11 where choose(4) == 0: restart(violated: false)
        default: break
        }
    }

    private func hostileStream(_ choose: (Int) -> Int) -> StreamID? {
        hostileStreams.isEmpty ? nil : hostileStreams[choose(hostileStreams.count)]
    }

    /// The hostile client's link ends, and the client makes another.
    private mutating func restart(violated: Bool) {
        if violated { reached.violations += 1 }
        let end = node[1]
        for stream in end.exchange.end() { answers.release(Answer(link: 2, stream: stream)) }
        precondition(end.exchange.isQuiet, "messages outlive their link")
        seed += 1
        end.exchange = MessageExchange(
            role: .responder, connection: .control, payloadSize: Self.payloadSize, seed: seed,
            kinds: MessageTable(Kind.kinds + PathMessage.kinds), limits: limits, now: now)
        (end.asked, end.waiting, end.handed, end.number) = ([:], [], [], 0)
        hostile = Connection(role: .initiator, configuration: .control, seed: seed &* 31)
        hostile.addLeg(MessageExchange.leg, payloadSize: Self.payloadSize, now: now)
        (hostileStreams, hostileNumber) = ([], 0)
        flights.removeAll { $0.link == 1 }
    }

    // MARK: The network

    private mutating func pump() {
        pump(client, link: 0, toNode: true)
        pump(node[0], link: 0, toNode: false)
        pump(node[1], link: 1, toNode: false)
        guard !isGone, flights.count < 200 else { return }
        var budget = 4
        while budget > 0, hostile.wantsToSend(leg: MessageExchange.leg, now: now) {
            var payload = [UInt8](repeating: 0, count: Self.payloadSize)
            var span = payload.mutableRawSpan
            hostileNumber += 1 + hostile.numbersToSkip()
            guard hostile.writePacket(leg: MessageExchange.leg, packetNumber: hostileNumber, into: &span, now: now)
            else { break }
            flights.append(Flight(link: 1, toNode: true, number: hostileNumber, bytes: payload))
            budget -= 1
        }
    }

    private mutating func pump(_ end: End, link: Int, toNode: Bool) {
        var budget = 4
        while budget > 0, flights.count < 200, end.exchange.wantsToSend(now: now) {
            var payload = [UInt8](repeating: 0, count: Self.payloadSize)
            var span = payload.mutableRawSpan
            end.number += 1 + end.exchange.numbersToSkip()
            guard end.exchange.writePacket(number: end.number, into: &span, now: now).isFilled else { break }
            flights.append(Flight(link: link, toNode: toNode, number: end.number, bytes: payload))
            budget -= 1
        }
    }

    private mutating func deliver(_ choose: (Int) -> Int) {
        guard !flights.isEmpty else { return }
        // Sometimes out of order.
        let flight = flights.remove(at: choose(3) == 0 ? choose(min(flights.count, 256)) : 0)
        if flight.toNode {
            node[flight.link].exchange.receive(packetNumber: flight.number, flight.bytes.rawSpan, now: now)
        } else if flight.link == 0 {
            client.exchange.receive(packetNumber: flight.number, flight.bytes.rawSpan, now: now)
        } else if !isDeaf {
            _ = hostile.receive(
                leg: MessageExchange.leg, packetNumber: flight.number, payload: flight.bytes.rawSpan, now: now)
        }
    }

    private mutating func passTime() {
        for end in ends() {
            if let deadline = end.exchange.nextDeadline, now >= deadline { end.exchange.deadlineReached(now: now) }
            _ = end.exchange.advance(now: now)
        }
        if let deadline = hostile.nextDeadline, now >= deadline { hostile.deadlineReached(now: now) }
    }

    // MARK: Promises

    /// Takes the actions of all exchanges.
    private mutating func settle() {
        settle(client, link: 0, peer: node[0])
        settle(node[0], link: 1, peer: client)
        settle(node[1], link: 2, peer: nil)
        var events = 0
        while hostile.nextEvent() != nil {
            events += 1
            precondition(events < 100_000, "events without end")
        }
    }

    /// Takes the actions of one exchange; `peer` is the other end of the link if that end is honest.
    private mutating func settle(_ end: End, link: Int, peer: End?) {
        var count = 0
        while let action = end.exchange.nextAction(now: now, admits: { true }) {
            count += 1
            precondition(count < 10_000, "actions without end")
            switch action {
            case .received(let kind, let body, let stream): received(end, peer, kind, body, stream)
            case .rekey(let body, let stream):
                precondition(peer == nil && body.count <= 100, "a message that nobody sent")
                end.exchange.refuse(stream)
            case .answered(let stream, let result): answered(end, peer, stream, result)
            case .answerMoved(let stream, let sent):
                answers.moved(Answer(link: link, stream: stream), sent: sent, now: now)
            case .answerEnded(let stream): answers.release(Answer(link: link, stream: stream))
            case .refused, .pathResponse: break
            case .closed, .violated:
                precondition(peer == nil, "an honest link is closed")
                return restart(violated: action == .violated)
            }
        }
    }

    private mutating func received(
        _ end: End, _ peer: End?, _ kind: MessageKind, _ body: [UInt8], _ stream: StreamID
    ) {
        precondition(end.handed.insert(stream).inserted, "a message is handed over twice")
        precondition(end.exchange.isWaiting(stream), "a message that does not wait is handed over")
        precondition(body.count <= kind.longestBody, "a body that is too long is handed over")
        precondition(
            Kind.kinds.contains(kind) || PathMessage.kinds.contains(kind), "a message that the end does not know")
        end.waiting.append((stream, kind, body))
        guard let peer else {
            reached.hostile += 1
            return
        }
        guard let message = Kind(rawValue: kind.raw) else {
            var reader = ByteReader(body.rawSpan)
            guard let path = try? reader.u64(), peer.destroyed.contains(path) else {
                preconditionFailure("a path that nobody ended")
            }
            reached.destroyed += 1
            return
        }
        // The asker may have given up the message in the meantime.
        if let asked = peer.asked[stream] {
            precondition(asked.kind == message && asked.body == body, "a message changed on its way")
        }
    }

    private mutating func answered(
        _ end: End, _ peer: End?, _ stream: StreamID, _ result: Result<[UInt8], ControlFailure>
    ) {
        guard let asked = end.asked.removeValue(forKey: stream) else { preconditionFailure("a message ends twice") }
        switch result {
        case .success(let bytes):
            precondition(bytes.count <= asked.kind.longestAnswer, "an answer is too long")
            precondition(
                peer == nil || bytes == Self.reply(asked.kind.kind, asked.body), "an answer of another message")
            if peer != nil { reached.answered += 1 }
        case .failure(.refused): if peer != nil { reached.refused += 1 }
        case .failure(.timedOut): if peer != nil { reached.timedOut += 1 }
        case .failure(.limit), .failure(.linkDown):
            preconditionFailure("a failure that a link that stands does not have")
        }
    }

    private func check() {
        for end in ends() {
            // Builds count apart, and so do four messages of the link itself.
            precondition(
                end.exchange.incomingCount <= limits.incoming + limits.builds.incoming + 4,
                "too many messages of the peer")
            precondition(
                end.exchange.requestCount <= limits.requests + limits.builds.requests + 4, "too many messages of ours")
            precondition(end.exchange.memoryUse < 24 << 20, "memory without end")
            let large = end.waiting.count {
                $0.kind.longestAnswer >= MessageExchange.largeAnswer && end.exchange.isWaiting($0.stream)
            }
            precondition(large <= 1, "two large messages at once")
        }
        precondition(answers.bytes <= Self.memory, "answers hold more than they may")
    }

    // MARK: The end

    /// Checks that a run ends well when the hostile client ignores packets, then goes away, and the network is good.
    ///
    /// Every message ends, the honest client is served, and its link closes in order.
    public mutating func finish() {
        isDeaf = true
        // Longer than any message may take: 60 s behind a large one, 60 s for its answer, 30 s for the peer to take it.
        for _ in 0..<340 { turn(.milliseconds(500)) }
        precondition(client.asked.isEmpty && client.exchange.isQuiet, "a message does not end")
        precondition(node[0].exchange.incomingCount == 0, "a message of the peer does not end")
        precondition(node[0].asked.isEmpty, "a message does not end")
        // Up to here each probe of the hostile client may have begun a message.
        isGone = true
        for _ in 0..<170 { turn(.seconds(1)) }
        precondition(node.allSatisfy { $0.exchange.incomingCount == 0 }, "a message of the peer does not end")
        precondition(answers.bytes == 0, "memory of answers is lost")
        let before = reached.answered
        guard let stream = client.exchange.begin(Kind.large.kind, body: [1, 2], timeout: .seconds(10), now: now) else {
            preconditionFailure("there is no room for an honest message")
        }
        client.asked[stream] = (.large, [1, 2])
        for _ in 0..<40 { turn(.milliseconds(100)) }
        precondition(reached.answered == before + 1, "the honest client is not served")
        client.exchange.close(now: now, timeout: .seconds(1))
        precondition(client.exchange.begin(Kind.short.kind, body: [], timeout: .seconds(1), now: now) == nil)
        var isClosed = false
        for _ in 0..<20 where !isClosed {
            now = now + .milliseconds(100)
            pump()
            while !flights.isEmpty { deliver { _ in 1 } }
            while let action = node[0].exchange.nextAction(now: now, admits: { true }) {
                if action == .closed { isClosed = true }
            }
        }
        precondition(isClosed, "the end of a link is not told")
        for _ in 0..<20 where !client.exchange.isCloseAcknowledged {
            now = now + .milliseconds(100)
            pump()
            while !flights.isEmpty { deliver { _ in 1 } }
            while client.exchange.nextAction(now: now, admits: { true }) != nil {}
        }
        precondition(client.exchange.isCloseAcknowledged, "the end of a link is not acknowledged")
    }

    /// A turn in which all packets arrive, and honest ends answer at once.
    private mutating func turn(_ time: TimeSpan) {
        now = now + time
        passTime()
        pump()
        while !flights.isEmpty { deliver { _ in 1 } }
        settle()
        for (link, end) in ends().enumerated() where link < 2 {
            let waiting = end.waiting
            end.waiting = []
            for message in waiting { answer(end, link, message, offset: 0) }
        }
        settle()
        check()
    }
}

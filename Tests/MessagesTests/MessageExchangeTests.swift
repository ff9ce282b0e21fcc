// One file: the tests share a harness and helpers.

import Testing
import Transport
import Wire

@testable import Messages

/// Messages with bodies and answers of different lengths.
private enum Kind: UInt8, MessageFamily {
    case short = 40, long, large

    var longestBody: Int {
        switch self {
        case .short, .large: 32
        case .long: 70_000
        }
    }

    var longestAnswer: Int {
        switch self {
        case .short: 1_000
        case .long: 0
        case .large: 1 << 20
        }
    }
}

/// A message of another lane, with limits of its own.
private enum Apart: UInt8, MessageFamily {
    case request = 60

    var lane: MessageLane { .requests }
    var longestBody: Int { 1_000 }
    var longestAnswer: Int { 0 }
}

/// A message of the swarm store, with limits of its own.
private enum Stored: UInt8, MessageFamily {
    case copy = 61

    var lane: MessageLane { .store }
    var longestBody: Int { 1_000 }
    var longestAnswer: Int { 0 }
}

/// Two ends without a network, on a clock that only the test moves.
private final class Pair {
    /// One end and the actions that it was told.
    final class End {
        var exchange: MessageExchange
        var number: UInt64 = 0
        var received: [(kind: MessageKind, body: [UInt8], stream: StreamID)] = []
        var answered: [StreamID: Result<[UInt8], ControlFailure>] = [:]
        var others: [MessageExchange.Action] = []
        var admits = true
        /// Whether it ignores packets.
        var isDeaf = false

        init(_ role: ConnectionRole, _ limits: MessageExchange.Limits, _ now: Instant) {
            exchange = MessageExchange(
                role: role, connection: .control, payloadSize: 1_200, seed: role == .initiator ? 7 : 8,
                kinds: MessageTable(
                    [Kind.short, .long, .large].map(\.kind) + Apart.kinds + Stored.kinds + PathMessage.kinds),
                limits: limits,
                now: now)
        }

        func take(_ now: Instant) {
            while let action = exchange.nextAction(now: now, admits: { admits }) {
                switch action {
                case .received(let kind, let body, let stream): received.append((kind, body, stream))
                case .answered(let stream, let result):
                    #expect(answered.updateValue(result, forKey: stream) == nil)
                case .rekey, .answerMoved, .answerEnded, .refused, .pathResponse, .closed, .violated:
                    others.append(action)
                }
            }
        }

        var isQuiet: Bool { exchange.isQuiet }
        var isClosed: Bool { exchange.isCloseAcknowledged }

        func count(_ action: MessageExchange.Action) -> Int { others.count { $0 == action } }

        /// Answers each received message with its body reversed.
        func answerAll(_ now: Instant) {
            for message in received {
                exchange.answer(message.stream, message.body.reversed(), part: 0..<message.body.count, now: now)
            }
            received = []
        }
    }

    var now = Instant(nanoseconds: 1_000_000_000_000)
    let near: End
    let far: End

    init(_ change: (inout MessageExchange.Limits) -> Void = { _ in }) {
        var limits = MessageExchange.Limits(
            incoming: 64, requests: 128, destroys: 1_000, rate: (rate: 1_000, burst: 1_000), unfinishedBytes: 320 << 10,
            arrivalTime: .seconds(30), answerTime: .seconds(60))
        limits.onionRequests = .init(incoming: 0, requests: 4, unfinishedBytes: 0)
        near = End(.initiator, limits, now)
        limits.onionRequests = .init(incoming: 0, requests: 0, unfinishedBytes: 0)
        change(&limits)
        far = End(.responder, limits, now)
    }

    /// Delivers all packets of both ends for `time`, and has both ends take their actions.
    func run(for time: TimeSpan = .seconds(1)) {
        let end = now + time
        let step = max(.milliseconds(20), time / 50)
        repeat {
            now = now + step
            carry(near, far)
            carry(far, near)
        } while now < end
    }

    private func carry(_ from: End, _ to: End) {
        if let deadline = from.exchange.nextDeadline, now >= deadline { from.exchange.deadlineReached(now: now) }
        if from.exchange.advance(now: now) { from.take(now) }
        from.take(now)
        while from.exchange.wantsToSend(now: now) {
            var payload = [UInt8](repeating: 0, count: 1_200)
            var span = payload.mutableRawSpan
            from.number += 1
            guard from.exchange.writePacket(number: from.number, into: &span, now: now).isFilled else { break }
            if !to.isDeaf { to.exchange.receive(packetNumber: from.number, payload.rawSpan, now: now) }
        }
        to.take(now)
    }

    func askApart() -> StreamID? {
        near.exchange.begin(Apart.request.kind, body: [1], timeout: .seconds(200), now: now)
    }

    func ask(_ kind: Kind, _ body: [UInt8] = [1, 2, 3], timeout: TimeSpan = .seconds(200)) -> StreamID? {
        near.exchange.begin(kind.kind, body: body, timeout: timeout, now: now)
    }

    /// Writes a stream without the near end's checks; returns it.
    func write(_ bytes: [UInt8], finish: Bool) throws -> StreamID {
        let stream = try near.exchange.connection.openStream()
        _ = near.exchange.connection.write(stream, bytes.rawSpan)
        if finish { near.exchange.connection.finish(stream) }
        return stream
    }
}

/// The exchange of control messages, without sockets.
@Suite struct MessageExchangeTests {
    @Test("a message comes whole and once, and its answer once; what is said twice has no effect") func roundTrip()
        throws
    {
        let pair = Pair()
        let long = [UInt8](repeating: 5, count: 70_000)
        let first = try #require(pair.ask(.short))
        let second = try #require(pair.ask(.long, long))
        // `begin` itself tells nothing.
        #expect(pair.near.answered.isEmpty)
        pair.run()
        #expect(pair.far.received.map(\.kind) == [Kind.short.kind, Kind.long.kind])
        #expect(pair.far.received.map(\.body) == [[1, 2, 3], long])
        let stream = pair.far.received[0].stream
        pair.far.exchange.answer(stream, [9, 8, 7, 6], part: 1..<3, now: pair.now)
        pair.far.exchange.answer(stream, [1], part: 0..<1, now: pair.now)
        pair.far.exchange.refuse(stream)
        pair.far.exchange.refuse(pair.far.received[1].stream)
        pair.run()
        #expect(pair.near.answered == [first: .success([8, 7]), second: .failure(.refused)])
        #expect(pair.near.isQuiet && pair.far.isQuiet)
    }

    @Test("what this end may not send does not begin: too long, too many, and after the end") func ownLimits() {
        let pair = Pair()
        #expect(pair.ask(.short, [UInt8](repeating: 0, count: 33)) == nil)
        for _ in 0..<128 { #expect(pair.ask(.short) != nil) }
        #expect(pair.ask(.short) == nil && pair.near.exchange.requestCount == 128)
        pair.near.exchange.close(now: pair.now, timeout: .seconds(1))
        #expect(pair.ask(.short) == nil)
    }

    @Test("messages beyond the limits are refused: number, rate, share, type, length, bytes") func limits() throws {
        for limit in 0..<3 {
            let pair = Pair {
                if limit == 0 { $0.incoming = 3 }
                if limit == 1 { $0.rate = (rate: 1, burst: 3) }
            }
            pair.far.admits = limit < 2
            let streams = (0..<5).compactMap { _ in pair.ask(.short) }
            pair.run(for: .milliseconds(100))
            let taken = limit < 2 ? 3 : 0
            #expect(pair.far.received.count == taken && pair.far.count(.refused) == 5 - taken)
            #expect(streams.count { pair.near.answered[$0] == .failure(.refused) } == 5 - taken)
        }
        let pair = Pair()
        // Unknown types, bodies that are too long, and no type at all.
        let bad: [[UInt8]] = [[0], [200, 1, 2], [40] + [UInt8](repeating: 0, count: 33), [4, 1], []]
        for (number, bytes) in bad.enumerated() {
            _ = try pair.write(bytes, finish: true)
            pair.run(for: .milliseconds(100))
            #expect(pair.far.count(.refused) == number + 1)
        }
        // The type alone, or the length alone, decides before the end of the stream.
        _ = try pair.write([200], finish: false)
        _ = try pair.write([40] + [UInt8](repeating: 0, count: 33), finish: false)
        pair.run(for: .milliseconds(100))
        #expect(pair.far.count(.refused) == bad.count + 2 && pair.far.isQuiet && pair.far.received.isEmpty)
        // All unfinished messages together keep within their limit.
        for _ in 0..<8 {
            _ = try pair.write([41] + [UInt8](repeating: 0, count: 60_000), finish: false)
            pair.run(for: .milliseconds(200))
            #expect(pair.far.exchange.memoryUse < 600 << 10)
        }
        #expect(pair.far.count(.refused) >= bad.count + 2 + 3)
        #expect(pair.far.exchange.incomingCount == 5)
    }

    @Test("RQ3: onion requests and the other messages of a link take nothing of each other's allowance")
    func lanes() throws {
        let pair = Pair {
            $0.incoming = 3
            $0.onionRequests = .init(incoming: 2, requests: 0, unfinishedBytes: 1_500)
        }
        // The near end may begin 4 requests, and 128 other messages beside them.
        let asked = (0..<5).compactMap { _ in pair.askApart() }
        let usual = (0..<100).compactMap { _ in pair.ask(.short) }
        #expect(asked.count == 4 && usual.count == 100)
        pair.run(for: .milliseconds(200))
        #expect(pair.far.received.count { $0.kind == Apart.request.kind } == 2)
        #expect(pair.far.received.count { $0.kind == Kind.short.kind } == 3)
        #expect(pair.far.count(.refused) == 2 + 97 && pair.far.exchange.incomingCount == 5)
        // While all other messages wait, the far end has room for one unfinished request, but not for two.
        pair.far.received.removeAll { message in
            guard message.kind == Apart.request.kind else { return false }
            pair.far.exchange.answer(message.stream, [], part: 0..<0, now: pair.now)
            return true
        }
        pair.run(for: .milliseconds(200))
        let refused = pair.far.count(.refused)
        for _ in 0..<2 { _ = try pair.write([60] + [UInt8](repeating: 0, count: 900), finish: false) }
        pair.run(for: .milliseconds(200))
        #expect(pair.far.count(.refused) == refused + 1 && pair.far.exchange.incomingCount == 4)
        // An end that accepts no requests refuses them by their first byte.
        let other = Pair()
        _ = try other.write([60], finish: false)
        other.run(for: .milliseconds(100))
        #expect(other.far.count(.refused) == 1 && other.far.isQuiet)
    }

    @Test("SW19: the swarm store's messages take nothing of the allowance of requests and of other messages")
    func storeLane() throws {
        let pair = Pair {
            $0.incoming = 3
            $0.onionRequests = .init(incoming: 2, requests: 0, unfinishedBytes: 1_500)
            $0.store = .init(incoming: 1, requests: 0, unfinishedBytes: 1_500)
        }
        // The near end may have no copies under way; the far end takes one of those that are written all the same.
        #expect(pair.near.exchange.begin(Stored.copy.kind, body: [1], timeout: .seconds(9), now: pair.now) == nil)
        for _ in 0..<4 { _ = try pair.write([61, 1], finish: true) }
        pair.run(for: .milliseconds(200))
        #expect(pair.far.received.count { $0.kind == Stored.copy.kind } == 1 && pair.far.count(.refused) == 3)
        // While it waits for its answer, all others have their places.
        for _ in 0..<3 { #expect(pair.askApart() != nil && pair.ask(.short) != nil) }
        pair.run(for: .milliseconds(200))
        #expect(pair.far.received.count { $0.kind == Apart.request.kind } == 2)
        #expect(pair.far.received.count { $0.kind == Kind.short.kind } == 3)
        #expect(pair.far.count(.refused) == 3 + 1 && pair.far.exchange.incomingCount == 6)
    }

    @Test("s17: builds that are not answered take no place of new keys, of the link's end and of other messages")
    func buildLane() throws {
        let pair = Pair {
            $0.incoming = 2
            $0.builds = .init(incoming: 3, requests: 0, unfinishedBytes: 3 * BuildMessage.size)
        }
        func begin(_ message: some MessageFamily, _ body: [UInt8] = [1]) -> StreamID? {
            pair.near.exchange.begin(message.kind, body: body, timeout: .seconds(200), now: pair.now)
        }
        // The near end may begin 128 builds; the far end takes three, and two other messages.
        #expect((0..<140).count { _ in begin(PathMessage.build) != nil } == 128)
        pair.run()
        for _ in 0..<3 { #expect(pair.ask(.short) != nil) }
        pair.run()
        #expect(pair.far.received.count { $0.kind == PathMessage.build.kind } == 3)
        #expect(pair.far.received.count { $0.kind == Kind.short.kind } == 2)
        #expect(pair.far.count(.refused) == 125 + 1 && pair.far.exchange.incomingCount == 5)
        let rekey = try #require(begin(LinkMessage.rekey, [7]))
        pair.run()
        #expect(pair.far.others.contains { if case .rekey([7], rekey) = $0 { true } else { false } })
        // Of the link's own messages four may be under way.
        #expect((0..<9).count { _ in begin(LinkMessage.rekey) != nil } == 3)
    }

    @Test("a message that does not come whole, one without an answer and one that takes too long end by themselves")
    func timeouts() throws {
        let pair = Pair()
        _ = try pair.write([40, 1], finish: false)
        let waits = try #require(pair.ask(.short))
        let short = try #require(pair.ask(.short, timeout: .seconds(5)))
        #expect(pair.near.exchange.nextExpiry == pair.now + .seconds(5))
        pair.run(for: .seconds(4))
        #expect(pair.near.answered.isEmpty && pair.far.exchange.incomingCount == 3)
        pair.run(for: .seconds(2))
        #expect(pair.near.answered == [short: .failure(.timedOut)])
        // The peer was told, and its answer now has no effect.
        #expect(pair.far.exchange.incomingCount == 2)
        pair.far.exchange.answer(pair.far.received[1].stream, [1], part: 0..<1, now: pair.now)
        pair.run(for: .seconds(25))
        #expect(pair.far.exchange.incomingCount == 1 && pair.far.count(.refused) == 1)
        pair.run(for: .seconds(30))
        #expect(pair.far.isQuiet && pair.far.count(.refused) == 2)
        #expect(pair.near.answered[waits] == .failure(.refused))
        #expect(pair.far.exchange.nextExpiry == nil)
    }

    @Test("s24: large answers go one after the other, and short ones pass them") func large() throws {
        let pair = Pair()
        let asked = (0..<3).compactMap { _ in pair.ask(.large) }
        let short = try #require(pair.ask(.short))
        pair.run()
        #expect(pair.far.received.map(\.kind) == [Kind.large.kind, Kind.short.kind])
        pair.far.answerAll(pair.now)
        pair.run()
        #expect(
            pair.near.answered[asked[0]] != nil && pair.near.answered[short] != nil && pair.near.answered.count == 2)
        // A large message that is refused makes room as well.
        #expect(pair.far.received.count == 1)
        pair.far.exchange.refuse(pair.far.received[0].stream)
        pair.far.received = []
        pair.run()
        #expect(pair.far.received.count == 1)
        pair.far.answerAll(pair.now)
        pair.run()
        #expect(pair.near.answered[asked[1]] == .failure(.refused))
        #expect(pair.near.answered[asked[2]] == .success([3, 2, 1]))
    }

    @Test("s24: an answer that is not read ends, and nothing of it is left") func slowReaders() throws {
        let pair = Pair()
        let bytes = [UInt8](repeating: 5, count: 400 << 10)
        let stream = try #require(pair.ask(.large))
        pair.run()
        let far = pair.far.received[0].stream
        pair.near.isDeaf = true
        pair.far.exchange.answer(far, bytes, part: 0..<bytes.count, now: pair.now)
        pair.run(for: .seconds(28))
        let isThere = pair.far.exchange.isAnswering(far)
        #expect(pair.far.exchange.incomingCount == 1 && isThere)
        pair.run(for: .seconds(4))
        #expect(pair.far.isQuiet && pair.far.count(.answerEnded(far)) == 1 && pair.far.count(.refused) == 1)
        let isLeft = pair.far.exchange.isAnswering(far)
        #expect(!isLeft)
        pair.near.isDeaf = false
        pair.run(for: .seconds(100))
        #expect(pair.near.answered == [stream: .failure(.refused)])
    }

    @Test("a message that the peer gives up is forgotten, whatever its state") func givenUp() throws {
        let pair = Pair()
        let arriving = try pair.write([40, 1], finish: false)
        let streams = (0..<3).compactMap { _ in pair.ask(.large) } + [arriving]
        pair.run()
        #expect(pair.far.exchange.incomingCount == 4 && pair.far.received.count == 1)
        for stream in streams { pair.near.exchange.connection.reset(stream, code: 9) }
        for stream in streams { pair.near.exchange.connection.stopSending(stream, code: 9) }
        pair.run()
        #expect(pair.far.isQuiet)
        // The message that had been handed over is not answered any more.
        pair.far.answerAll(pair.now)
        pair.run()
        #expect(pair.near.answered.values.allSatisfy { $0 == .failure(.refused) })
    }

    @Test("the peer hears of the end once, acknowledges it, and nothing follows") func close() {
        let pair = Pair()
        _ = pair.ask(.short)
        pair.run()
        pair.near.exchange.close(now: pair.now, timeout: .seconds(1))
        pair.near.exchange.close(now: pair.now, timeout: .seconds(1))
        #expect(!pair.near.isClosed)
        pair.near.exchange.destroy(7, now: pair.now)
        pair.run()
        #expect(pair.far.others == [.closed] && pair.near.isClosed)
        // The earlier message has no answer, and ended without an action.
        pair.far.answerAll(pair.now)
        pair.run()
        #expect(pair.near.answered.isEmpty && pair.far.received.isEmpty)
        #expect(pair.far.exchange.end().isEmpty && pair.far.isQuiet)
        #expect(pair.far.exchange.begin(Kind.short.kind, body: [], timeout: .seconds(1), now: pair.now) == nil)
    }

    @Test("answers that count and were not told are returned at the end") func endedAnswers() {
        let pair = Pair()
        _ = pair.ask(.large)
        pair.run()
        let stream = pair.far.received[0].stream
        let bytes = [UInt8](repeating: 1, count: 1 << 20)
        pair.near.isDeaf = true
        pair.far.exchange.answer(stream, bytes, part: 0..<bytes.count, now: pair.now)
        #expect(pair.far.exchange.end() == [stream] && pair.far.exchange.end().isEmpty)
        let isLeft = pair.far.exchange.isAnswering(stream)
        #expect(pair.far.isQuiet && !isLeft)
    }

    @Test("s27: DESTROYs wait for room, go again when they are refused, and stop at last") func destroys() {
        let pair = Pair { $0.incoming = 4 }
        for path in 1...12 as ClosedRange<UInt64> { pair.near.exchange.destroy(path, now: pair.now) }
        var heard: Set<[UInt8]> = []
        for _ in 0..<60 {
            pair.run(for: .milliseconds(100))
            for message in pair.far.received { heard.insert(message.body) }
            pair.far.answerAll(pair.now)
        }
        #expect(heard.count == 12 && pair.near.isQuiet)
        // A DESTROY that is always refused is not sent forever.
        pair.near.exchange.destroy(99, now: pair.now)
        var refused = 0
        for _ in 0..<100 {
            pair.run(for: .milliseconds(100))
            for message in pair.far.received { pair.far.exchange.refuse(message.stream) }
            refused += pair.far.received.count
            pair.far.received = []
        }
        #expect(refused == Int(DestroyQueue.attempts) && pair.near.isQuiet)
        // No DESTROY has told the near end of an answer.
        #expect(pair.near.answered.isEmpty)
    }

    @Test("an answer that is longer than its kind allows counts as a refusal") func longAnswer() throws {
        let pair = Pair()
        let stream = try #require(pair.ask(.short))
        pair.run()
        let bytes = [UInt8](repeating: 1, count: 1_001)
        pair.far.exchange.answer(pair.far.received[0].stream, bytes, part: 0..<bytes.count, now: pair.now)
        pair.run()
        #expect(pair.near.answered == [stream: .failure(.refused)])
    }

    @Test("a peer that breaks the connection's rules ends it") func violation() {
        let pair = Pair()
        var payload = [UInt8](repeating: 0xff, count: 1_200)
        payload[0] = 0xff
        pair.far.exchange.receive(packetNumber: 5, payload.rawSpan, now: pair.now)
        pair.far.exchange.receive(packetNumber: 6, [UInt8](repeating: 0x3f, count: 1_200).rawSpan, now: pair.now)
        pair.far.take(pair.now)
        pair.near.take(pair.now)
        pair.run(for: .milliseconds(100))
        #expect(pair.near.count(.violated) + pair.far.count(.violated) > 0)
    }
}

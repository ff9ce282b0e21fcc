import Onion
import OnionCrypto
import RequestsModel
import SeededRandom
import Testing
import Wire

@testable import Requests

private let network = RequestNetwork.network

/// Something that a test did not expect.
struct Unexpected: Error {}

/// A target between proxies that the test plays; the test also decides when openings and methods run.
struct TargetBench: ~Copyable {
    let pair: KEM.PrivateKey
    var target: RequestTarget
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var time = UnixTime(seconds: 1_800_000_030)
    var message: UInt64 = 0
    var openings: [(ticket: UInt64, key: OnionKeys.Key, envelope: [UInt8])] = []
    var performing: [(ticket: UInt64, method: RequestMethod, arguments: [UInt8], room: Int)] = []
    var relays: [(ticket: UInt64, request: RelayRequest)] = []
    /// The answers to FORWARD by message, and the ANSWER messages, that proxies got.
    var answers: [UInt64: OuterAnswer] = [:]
    var sent: [(node: NodeID, message: AnswerMessage)] = []

    init(requestsPerSecond: Int = 500) throws {
        pair = try KEM.PrivateKey(seed: [UInt8](repeating: 1, count: 32))
        target = RequestTarget(
            network: network, node: RequestNetwork.id(0), keys: OnionKeys(pair, now: now), descriptor: [1, 2, 3],
            requestsPerSecond: requestsPerSecond, random: SeededGenerator(seed: 5), now: now)
    }

    func envelope(_ method: RequestMethod = .lookup, _ arguments: [UInt8] = []) throws -> [UInt8] {
        try seal(method, arguments).envelope
    }

    func seal(_ method: RequestMethod = .lookup, _ arguments: [UInt8] = []) throws -> SealedRequest {
        try RequestEnvelope.seal(
            method, to: RequestNetwork.id(0), onionKey: pair.publicKey, network: network, time: time
        ) { _ in arguments }
    }

    /// An envelope with the right key id and no content.
    func junk(_ seed: UInt64, _ size: RequestClass = .bytes1024) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        let head = Blake2b.digest(pair.publicKey.rawSpan).array.prefix(8)
        var writer = ByteWriter()
        writer.raw(head)
        for _ in 0..<4 { writer.u64(random.next()) }
        writer.zeros(size.envelopeSize - writer.bytes.count)
        return writer.bytes
    }

    /// Sends FORWARD from a proxy; returns the message's number.
    @discardableResult
    mutating func forward(
        _ envelope: [UInt8], from proxy: Int = 1, isRelayed: Bool = false
    ) throws -> UInt64 {
        let body = ForwardMessage(id: message + 1_000, isRelayed: isRelayed, envelope: envelope).encoded()
        return try forward(body: body, from: proxy)
    }

    @discardableResult
    mutating func forward(body: [UInt8], from proxy: Int = 1) throws -> UInt64 {
        message += 1
        try take(target.received(body, message: message, from: RequestTarget.peer(proxy), now: now))
        return message
    }

    mutating func take(_ actions: [RequestTarget.Action]) throws {
        for action in actions {
            switch action {
            case .answer(let message, let bytes):
                try #require(answers[message] == nil, "FORWARD is answered once")
                answers[message] = try OuterAnswer(decoding: bytes.rawSpan, at: .forward)
            case .open(let ticket, let key, let envelope): openings.append((ticket, key, envelope))
            case .perform(let ticket, let method, let arguments, _, let room):
                performing.append((ticket, method, arguments, room))
            case .relay(let ticket, let request, _): relays.append((ticket, request))
            case .send(let node, let body): sent.append((node, try AnswerMessage(decoding: body.rawSpan)))
            }
        }
    }

    /// Opens all waiting envelopes; with `isReal` false, each fails as junk without the work.
    mutating func open(isReal: Bool = true) throws {
        while let next = openings.first {
            openings.removeFirst()
            let request =
                isReal
                ? RequestEnvelope.open(next.envelope, with: next.key, node: RequestNetwork.id(0), network: network)
                : nil
            try take(target.opened(next.ticket, request, now: now, time: time))
        }
    }

    mutating func perform(_ answer: RequestAnswer = RequestAnswer(.done, [9])) throws {
        while let next = performing.first {
            performing.removeFirst()
            try take(target.performed(next.ticket, answer, now: now))
        }
    }

    mutating func advance(_ span: TimeSpan) throws {
        now = now + span
        try take(target.advance(now))
    }
}

extension RequestTarget {
    /// The id of proxy `number`.
    static func peer(_ number: Int) -> NodeID {
        var writer = ByteWriter()
        writer.u32(UInt32(number))
        writer.zeros(28)
        return NodeID(Bytes32(copying: writer.bytes.rawSpan))
    }
}

import Onion
import OnionCrypto
import RequestsModel
import SeededRandom
import Testing
import Wire

@testable import Requests

let pairs: [KEM.PrivateKey] = (1...4 as ClosedRange<UInt8>).compactMap {
    try? KEM.PrivateKey(seed: [UInt8](repeating: $0, count: 32))
}

/// A client; the test plays proxies and targets.
struct ClientBench {
    var client: RequestClient
    var now = Instant(nanoseconds: 1_000_000_000_000)
    let time = UnixTime(seconds: 1_800_000_030)
    var opened: [(session: UInt64, proxy: NodeID)] = []
    var closed: [UInt64] = []
    var sent: [(attempt: UInt64, session: UInt64, open: RequestOpen)] = []
    var cancelled: [UInt64] = []
    var checks: [(attempt: UInt64, target: NodeID)] = []
    var finished: [UInt64: RequestClient.Outcome] = [:]

    init(nodes: Int = 20) {
        client = RequestClient(network: RequestNetwork.network, random: SeededGenerator(seed: 1)) { _ in { _ in true } }
        client.nodes = (0..<nodes).map {
            RequestNode(id: ClientBench.node($0), operatorID: ClientBench.node($0).key, weight: 1)
        }
    }

    static func node(_ number: Int) -> NodeID {
        NodeID(Bytes32(copying: [UInt8](repeating: UInt8(number + 1), count: 32).rawSpan))
    }

    static func call(_ purpose: RequestClient.Purpose, isolation: UInt64 = 1, targets: Range<Int> = 0..<3)
        -> RequestClient.Call
    {
        RequestClient.Call(
            scope: .init(isolation: isolation, purpose: purpose), method: .lookup,
            targets: targets.map { .init(node: node($0), onionKey: pairs[$0 % pairs.count].publicKey) }
        ) { _ in [1, 2, 3] }
    }

    static let box = RequestClient.Purpose.box(node(200).key)

    @discardableResult
    mutating func ask(_ call: RequestClient.Call = call(box)) throws -> UInt64 {
        let (number, actions) = client.ask(call, now: now, time: time)
        try take(actions)
        return number
    }

    mutating func take(_ actions: [RequestClient.Action]) throws {
        for action in actions {
            switch action {
            case .openSession(let session, let proxy): opened.append((session, proxy))
            case .closeSession(let session): closed.append(session)
            case .send(let attempt, let session, let bytes):
                sent.append((attempt, session, try RequestOpen(decoding: bytes.rawSpan)))
            case .cancel(let attempt): cancelled.append(attempt)
            case .checkDescriptor(let attempt, let target, _): checks.append((attempt, target))
            case .finished(let call, let outcome):
                try #require(finished[call] == nil, "a call ends once")
                finished[call] = outcome
            }
        }
    }

    mutating func ready(_ session: UInt64) throws { try take(client.sessionReady(session, now: now, time: time)) }

    mutating func readyAll() throws { for (session, _) in opened { try ready(session) } }

    mutating func received(_ attempt: UInt64, _ answer: OuterAnswer?) throws {
        try take(client.received(attempt, answer?.encoded(for: .stream), now: now, time: time))
    }

    mutating func advance(_ span: TimeSpan) throws {
        now = now + span
        try take(client.advance(now, time: time))
    }

    /// The target's sealed answer to a request that was sent.
    func answer(_ index: Int, _ answer: RequestAnswer, pair: KEM.PrivateKey? = nil) throws
        -> OuterAnswer
    {
        guard case .envelope(let envelope, let target) = sent[index].open,
            let number = (0..<4).first(where: { ClientBench.node($0) == target })
        else { throw Failure() }
        let pair = pair ?? pairs[number]
        let id = Blake2b.digest(pair.publicKey.rawSpan).withBytes { unsafe $0.unsafeLoadUnaligned(as: UInt64.self) }
        let key = try #require(OnionKeys(pair, now: now).key(id: id))
        let opened = try #require(
            RequestEnvelope.open(envelope, with: key, node: target, network: RequestNetwork.network))
        return .answer(opened.seal(answer, salt: [UInt8](repeating: 7, count: 16)))
    }
}

struct Failure: Error {}

import OnionCrypto
import SeededRandom
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// One replica in a swarm of three; the test plays its peers.
struct Bench {
    static let start = UInt64(firstMinute) * 60_000
    var replica: Replica<AnyStorage>
    var now = start
    let peers: [Key]
    private let swarmSize: Int
    private let shards: Int
    private var nextAsk: UInt64 = 1

    init(
        quota: UInt64 = 1 << 30, storage: AnyStorage? = nil, peers count: UInt32 = 2,
        swarmSize: Int = 3, shards: Int = 64, recoveryRate: UInt64 = 1 << 20
    ) throws {
        let key = Key(1_000)
        peers = (1...count).map { Key(1_000 + $0) }
        self.swarmSize = swarmSize
        self.shards = shards
        replica = Replica(
            network: network, key: key.copy(), storage: try storage ?? Backend.storage(),
            settings: .init(quota: quota, recoveryRate: recoveryRate),
            random: SeededGenerator(seed: 1),
            hasEndedCleanly: true, now: now)
        _ = handle([.snapshot(try view(1, [key] + peers))])
    }

    /// The snapshot at `height` that names these nodes.
    func view(_ height: UInt64, _ keys: [Key]) throws -> SwarmView {
        let nodes = keys.map {
            PlacedNode(node: $0.node, operatorID: $0.publicKey, placement: UInt64(leading: $0.publicKey))
        }
        let map = SwarmMap(network: network, shards: shards, swarmSize: swarmSize, nodes: nodes)
        return SwarmView(height: height, map: try #require(map))
    }

    mutating func handle(_ events: [Replica<AnyStorage>.Event]) -> [Replica<AnyStorage>.Action] {
        replica.handle(events, now: now)
    }

    /// The answer to a request, after the longest time that a coordinator waits.
    mutating func request(_ request: StoreRequest, binding: Bytes32 = network) -> StoreAnswer? {
        let ask = nextAsk
        nextAsk += 1
        var actions = handle([.request(ask: ask, via: peers[0].node, request, binding: binding)])
        now += Coordinator.patience
        actions += handle([.tick])
        for case .answer(ask, let answer) in actions { return answer }
        return nil
    }

    mutating func store(_ item: StoredItem, height: UInt64 = 1) -> StoreAnswer? {
        request(.store(height: height, item))
    }

    /// The statuses with which the replica answers a peer's copies; 0: accepted.
    mutating func bring(_ copies: [Copy], from peer: Key? = nil) -> [UInt8]? {
        let body = Replicate(height: 1, copies: copies).encoded()
        let actions = handle([.message(ask: 0, from: (peer ?? peers[0]).node, .replicate, body)])
        for case .reply(_, let reply?) in actions {
            return (try? Replicate.outcomes(decoding: reply.rawSpan, count: copies.count))?.map {
                if case .refused(let status) = $0 { status } else { 0 }
            }
        }
        return nil
    }

    /// A peer's answer to a question; nil: it does not answer.
    typealias Answer = (NodeID, SwarmMessage, [UInt8]) -> [UInt8]?

    /// Has peers answer until the replica asks no more.
    mutating func play(_ actions: [Replica<AnyStorage>.Action], _ answer: Answer) {
        var open = actions
        while !open.isEmpty {
            guard case .ask(let peer, let kind, let body, let question) = open.removeFirst() else { continue }
            open += handle([.answer(question: question, answer(peer, kind, body))])
        }
    }

    /// Runs for `minutes` with peers that answer.
    mutating func run(minutes: Int, _ answer: Answer) {
        for _ in 0..<minutes {
            now += 60_000
            play(handle([.tick]), answer)
        }
    }

    /// The replica's answer to a peer.
    mutating func reply(to kind: SwarmMessage, _ body: [UInt8], from peer: Key? = nil) -> [UInt8]? {
        for case .reply(_, let reply) in handle([.message(ask: 0, from: (peer ?? peers[0]).node, kind, body)]) {
            return reply
        }
        return nil
    }

    /// The shard of a box.
    func shard(of box: Box) -> UInt16 { replica.views[0].map.shard(of: box.id) }

    func state(_ item: StoredItem) -> Bool? { replica.storage.entry(item.id).map { !$0.isDeleted } }
    var minute: UInt32 { UInt32(now / 60_000) }
}

import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Store
@testable import Swarm

/// Faults of a replica's disk and clock, and clients that make it pass on less, or other bytes, than it holds.
@Suite(.onBothStorages) struct ReplicaFaultTests {
    private let box = Box(Key(1))
    private let now = firstMinute

    /// The copies that the replica sends to others.
    private func copies(_ actions: [Replica<AnyStorage>.Action]) throws -> [Copy] {
        try actions.flatMap { action -> [Copy] in
            guard case .ask(_, .replicate, let body, _) = action else { return [] }
            return try Replicate(decoding: body.rawSpan, network: network).copies
        }
    }

    @Test("SW11: a damaged version that a newer one replaces costs nothing else")
    func sw11ReplacedDamage() throws {
        var bench = try Bench()
        let other = box.message(1, created: now)
        let old = box.record(name("note"), created: now, content: [1])
        #expect(bench.bring([.item(other), .item(old)]) == [0, 0])
        try bench.replica.holdings.storage.damage(old.id)
        let new = box.record(name("note"), created: now, counter: 1, content: [2])
        #expect(bench.bring([.item(new)]) == [0])
        for _ in 0..<3 {
            bench.now += 1_000
            _ = bench.handle([.tick])
        }
        #expect(bench.bring([.item(box.message(2, created: now))]) == [0])
        #expect(bench.state(other) == true && bench.state(new) == true && bench.state(old) == nil)
        #expect((bench.replica.storage.base as? SwarmStore)?.isDamaged != true)
    }

    @Test("SW4: a deletion by the box key is taken and passed on, also right after one by a token")
    func sw4KeyAfterToken() throws {
        var bench = try Bench()
        let item = box.message(1, created: now)
        #expect(bench.bring([.item(item)]) == [0])
        let token = StoreRequest.Deletion(id: item.id, proof: .token(Box.token(1)))
        let key = StoreRequest.Deletion(id: item.id, proof: box.proof(of: item.id))
        func delete(_ deletion: StoreRequest.Deletion) throws -> [Copy] {
            try copies(
                bench.handle([
                    .request(
                        ask: 100, via: bench.peers[0].node, .delete(box: box.id, [deletion]), binding: network)
                ]))
        }
        #expect(try delete(token).map(\.isFinal) == [false, false])
        #expect(bench.replica.storage.entry(item.id)?.isFinal == false)
        #expect(try delete(key).map(\.isFinal) == [true, true])
        #expect(bench.replica.storage.entry(item.id)?.isFinal == true)
        // Both again ask nobody.
        #expect(try delete(key).isEmpty && delete(token).isEmpty)
    }
}

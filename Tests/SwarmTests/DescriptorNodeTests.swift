import OnionCrypto
import SeededRandom
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// A replica that holds items of kind 1 only.
@Suite(.onBothStorages) struct DescriptorNodeTests {
    private let box = Box(Key(1))
    private let now = firstMinute

    private func bench() throws -> Bench { try Bench(isForDescriptors: true) }

    @Test("It takes descriptors, and nothing else, from clients and from replicas")
    func kinds() throws {
        var bench = try self.bench()
        let descriptor = box.named(.descriptor, name("web"), created: now, content: [], certified: Key(3))
        let others = [
            box.message(1, created: now), box.contact(2, created: now),
            box.record(name("a"), created: now, content: []),
            box.named(.account, name("a"), created: now, content: [], certified: nil),
        ]
        guard case .stored? = bench.store(descriptor) else { return #expect(Bool(false)) }
        for item in others { #expect(bench.store(item) == .refused(.unknown)) }
        #expect(bench.bring([.item(descriptor)] + others.map { .item($0) }) == [0, 2, 2, 2, 2])
        #expect(bench.bring([.tombstone(box.tombstone(of: others[0]))]) == [2])
        #expect(bench.replica.storage.count == 0 && bench.replica.descriptorCount.held == 1)
        func lookUp(_ kind: ItemKind) -> StoreAnswer? {
            bench.request(.lookup(box: box.id, kind: kind, most: 2, name: .zeros))
        }
        #expect(lookUp(.descriptor) == .items([descriptor.bytes]) && lookUp(.account) == .refused(.unknown))
        let read = box.read(binding: network)
        #expect(bench.request(.list(read, kinds: .all)) == .refused(.unknown))
        #expect(bench.request(.fetch(read, offsets: [1])) == .refused(.unknown))
        let proof = DeleteProof.token(Box.token(1))
        #expect(bench.request(.delete(box: box.id, [.init(id: others[0].id, proof: proof)])) == .refused(.unknown))
        let open = SubscriptionOpen(read, kinds: .all)
        let actions = bench.handle([.subscribe(id: 4, via: bench.peers[0].node, open, binding: network)])
        #expect(actions == [.opened(id: 4, .unknown)])
    }

    @Test("It begins no comparisons, answers those of others, and drops a shard that it has left")
    func comparisons() throws {
        var bench = try self.bench()
        var asked = 0
        bench.run(minutes: 40) { _, _, _ in
            asked += 1
            return nil
        }
        #expect(asked == 0)
        let minute = bench.minute - bench.minute % 10
        let shards = [Compare.ShardDigest(shard: 3, digest: RangeDigests.shard([]))]
        let answer = bench.reply(to: .compare, Compare(key: .zeros, cut: minute, .shards(shards)).encoded())
        #expect(answer == CompareAnswer.shards([]).encoded())
        for height in 2...4 as ClosedRange<UInt64> {
            _ = bench.handle([.snapshot(try bench.view(height, bench.peers + [Key(1_003)]))])
        }
        _ = bench.handle([.tick])
        #expect(bench.replica.shards.isEmpty)
    }
}

import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// Short requests and messages that cost a replica much.
@Suite(.onBothStorages) struct StoreCostTests {
    private let box = Box(Key(1))
    private let now = firstMinute
    private let reads = CountedStorage.Reads()

    /// A replica whose reads are counted.
    private func bench() throws -> Bench {
        try Bench(storage: AnyStorage(CountedStorage(try Backend.storage(), reads)))
    }

    /// What was read in `body`.
    private func counted<Result>(_ body: () throws -> Result) rethrows -> (Result, entries: Int, bodies: Int) {
        let before = (reads.entries, reads.bodies)
        let result = try body()
        return (result, reads.entries - before.0, reads.bodies - before.1)
    }

    @Test("SW19: a look-up in a box that another replica has overfilled reads only what it sends")
    func sw19LookUp() throws {
        var bench = try bench()
        let shard = bench.shard(of: box)
        for number in 0..<200 {
            let item = box.named(.account, name("\(number)"), created: now, content: [1], certified: nil)
            bench.replica.holdings.take(.item(item), shard: shard, minute: now)
        }
        let request = StoreRequest.lookup(box: box.id, kind: .account, most: 1, name: .zeros)
        let (answer, entries, bodies) = counted { bench.request(request) }
        guard case .items(let items)? = answer else { return #expect(Bool(false)) }
        #expect(items.count == 1 && bodies == 1)
        // As many as the quota has room for.
        #expect(entries == 32)
    }

    @Test("SW19: deletions with false proofs count as what they read, and others have their part")
    func sw19FalseProofs() throws {
        var bench = try bench()
        let items = (0..<2 as Range<UInt64>).map { box.message($0, created: now, sizeClass: 5) }
        #expect(bench.bring(items.map { .item($0) }) == [0, 0])
        let other = Box(Key(2))
        func delete(_ count: UInt64, _ deletions: [StoreRequest.Deletion], over link: Key) -> [StoreAnswer] {
            bench.handle(
                (0..<count).map {
                    .request(ask: $0, via: link.node, .delete(box: box.id, deletions), binding: network)
                }
            ).compactMap { if case .answer(_, let answer) = $0 { answer } else { nil } }
        }
        let forged = StoreRequest.Deletion(id: items[0].id, proof: other.proof(of: items[0].id))
        let flood = [StoreRequest.Deletion](repeating: forged, count: SwarmLimits.deletions)
        for _ in 0..<2 {
            let (answers, _, bodies) = counted { delete(100, flood, over: Key(8)) }
            let looked = answers.count { $0 == .refused(.notAuthorised) }
            #expect(10...16 ~= looked && answers.count { $0 == .refused(.busy(seconds: 1)) } == 100 - looked)
            #expect(bodies == looked * SwarmLimits.deletions)
            bench.now += 1_000
        }
        // The other link's deletion is taken at the same moment; nothing answers it yet.
        let proof = box.proof(of: items[1].id)
        #expect(delete(1, [.init(id: items[1].id, proof: proof)], over: Key(9)).isEmpty)
        #expect(bench.state(items[0]) == true && bench.state(items[1]) == false)
    }

    @Test("SW8: tombstones count as the room and the work that they take")
    func sw8Tombstones() throws {
        // A share has room for 117 entries.
        var bench = try Bench(quota: 240_000)
        let tombstones = (0..<192 as Range<UInt64>).map {
            Copy.tombstone(box.tombstone(of: box.message($0, created: now)))
        }
        let batches = stride(from: 0, to: 192, by: 64).map { Array(tombstones[$0..<$0 + 64]) }
        let statuses = batches.flatMap { bench.bring($0) ?? [] }
        #expect(statuses.count == 192 && statuses.count { $0 == 0 } == 117)
        #expect(bench.replica.storage.bytesUsed == 117 * SwarmLimits.leastRoom)
        // Known ones as well count as at least 4 KiB each.
        bench.now += SwarmLimits.workWindow
        var count = 0
        while count < 1_000, bench.bring(batches[0]) != nil { count += 1 }
        #expect(count == Int(SwarmLimits.workBurst) / (64 * SwarmLimits.putUnit + 9))
    }

    @Test("SW12: a question about a long range that exceeds its asker's work reads nothing")
    func sw12RefusedReads() throws {
        var bench = try bench()
        let (peer, shard, created) = (bench.peers[0], bench.shard(of: box), now - 60)
        for number in 0..<100 as Range<UInt64> {
            bench.replica.holdings.take(.item(box.message(number, created: created)), shard: shard, minute: now)
        }
        let range = RangeKey(shard: shard, kind: .message, number: created / 10)
        let ids = Compare(key: .zeros, cut: now, .ids(range, after: 0)).encoded()
        let fetch = FetchCopies(key: .zeros, range: range, shortIDs: [1]).encoded()
        for (kind, body) in [(SwarmMessage.compare, ids), (.fetchCopies, fetch)] {
            bench.now += SwarmLimits.workWindow
            #expect(counted { bench.reply(to: kind, body, from: peer) } == (bench.reply(to: kind, body), 100, 0))
            // What is left is not enough for the question and the range.
            let left = 100 * SwarmLimits.workPerEntry + (kind == .compare ? SwarmLimits.workPerQuestion : 0)
            let rest = bench.replica.peers[peer.node]?.work.available(bench.now) ?? 0
            bench.replica.peers[peer.node]?.work.takeAll(upTo: Int(rest) - left, bench.now)
            #expect(counted { bench.reply(to: kind, body, from: peer) } == (nil, 0, 0))
        }
    }
}

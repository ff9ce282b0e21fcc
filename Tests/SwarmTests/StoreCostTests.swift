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
}

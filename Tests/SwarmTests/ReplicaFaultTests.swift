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

    @Test("SW4: a deleted item is not acknowledged to a client that stores it, and not passed on")
    func sw4StoredAfterDeletion() throws {
        var bench = try Bench()
        let item = box.message(1, created: now)
        #expect(bench.bring([.item(item), .tombstone(box.tombstone(of: item))]) == [0, 0])
        let actions = bench.handle([
            .request(ask: 1, via: bench.peers[0].node, .store(height: 1, item), binding: network)
        ])
        #expect(actions == [.answer(ask: 1, .refused(.superseded(created: now, counter: 0)))])
        // A replica's copy of it is, for the replica has the tombstone too or gets it.
        #expect(bench.bring([.item(item)]) == [0])
    }

    @Test("SW20: of an item that is held, only the copy that was verified is passed on")
    func sw20VerifiedCopy() throws {
        var bench = try Bench()
        let item = box.message(1, created: now)
        #expect(bench.bring([.item(item)]) == [0])
        var bytes = item.bytes
        bytes[bytes.count - 40] ^= 1
        let forged = try StoredItem(decoding: bytes.rawSpan, network: network)
        #expect(forged.id == item.id && forged != item)
        let actions = bench.handle([
            .request(ask: 1, via: bench.peers[0].node, .store(height: 1, forged), binding: network)
        ])
        #expect(try copies(actions) == [.item(item), .item(item)])
        // Where the held bytes are damaged, the client's copy has to be authentic.
        bench.now += Coordinator.persistence
        _ = bench.handle([.tick])
        try bench.replica.holdings.storage.damage(item.id)
        let refused = bench.handle([
            .request(ask: 2, via: bench.peers[0].node, .store(height: 1, forged), binding: network)
        ])
        #expect(refused == [.answer(ask: 2, .refused(.notAuthorised))])
    }

    @Test("SW4: after the clock was ahead and is set back, shards count as complete once others have shown all again")
    func sw4ExpiredAhead() throws {
        var bench = try Bench()
        var source = try Bench()
        let item = box.message(1, created: now - 60)
        #expect(bench.bring([.item(item)]) == [0] && source.bring([.item(item)]) == [0])
        let (shard, me) = (bench.shard(of: box), bench.peers[0])
        func run() {
            for _ in 0..<45 {
                source.now += 60_000
                bench.run(minutes: 1) { _, kind, body in source.reply(to: kind, body, from: me) }
            }
        }
        run()
        #expect(bench.replica.isComplete(shard))
        let time = bench.now
        // A step back alone changes nothing.
        bench.now -= 60_000
        _ = bench.handle([.tick])
        #expect(bench.replica.isComplete(shard))
        bench.now = time + 15 * 86_400_000
        _ = bench.handle([.tick])
        #expect(bench.state(item) == nil)
        bench.now = time
        _ = bench.handle([.tick])
        #expect(!bench.replica.isComplete(shard))
        run()
        #expect(bench.state(item) == true && bench.replica.isComplete(shard))
    }

    @Test("SW19: who lists large boxes without end has a part of the replica's time, and others have theirs")
    func sw19Reads() throws {
        var bench = try Bench()
        let shard = bench.shard(of: box)
        for number in 0..<1_300 as Range<UInt64> {
            bench.replica.holdings.take(.item(box.message(number, created: now)), shard: shard, minute: now)
        }
        let read = box.read(binding: network)
        func list(_ count: UInt64, over link: Key, _ kinds: ItemKinds = .all) -> Int {
            let answers = bench.handle(
                (0..<count).map {
                    .request(ask: $0, via: link.node, .list(read, kinds: kinds), binding: network)
                })
            return answers.count { if case .answer(_, .listed) = $0 { true } else { false } }
        }
        // Each has 20 units, and one for itself.
        #expect(40...60 ~= list(150, over: Key(8)))
        #expect(list(1, over: Key(8)) == 0)
        // The other link's requests are answered, also now.
        #expect(list(1, over: Key(9)) == 1)
        bench.now += 1_000
        #expect(40...60 ~= list(150, over: Key(8)))
        #expect(list(1, over: Key(9)) == 1)
        // What is not there costs next to nothing.
        bench.now += 60_000
        #expect(list(900, over: Key(8), ItemKinds(.account)) == 900)
    }

    @Test("A look-up of a named record of an account brings its newest version alone")
    func namedLookUp() throws {
        var bench = try Bench()
        let items = ["a", "b"].map {
            box.named(.account, name($0), created: now, content: [1], certified: nil)
        }
        #expect(bench.bring(items.map { .item($0) } + [.item(box.message(1, created: now))]) == [0, 0, 0])
        for item in items {
            let request = StoreRequest.lookup(
                box: box.id, kind: .account, most: 8, name: try #require(item.version).name)
            #expect(bench.request(request) == .items([item.bytes]))
        }
        guard case .items(let all)? = bench.request(.lookup(box: box.id, kind: .account, most: 8, name: .zeros)) else {
            return #expect(Bool(false))
        }
        #expect(Set(all) == Set(items.map(\.bytes)))
        #expect(bench.request(.lookup(box: box.id, kind: .account, most: 8, name: name("c"))) == .items([]))
    }
}

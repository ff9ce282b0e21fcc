import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// A result that a test needs is missing.
private struct Unexpected: Error {}

/// Clients that store the same again and again, or more than their part.
@Suite(.onBothStorages) struct StoreFloodTests {
    private let box = Box(Key(1))
    private let now = firstMinute

    private func isStored(_ answer: StoreAnswer?) -> Bool { if case .stored? = answer { true } else { false } }

    @Test("SW7: clients of one shard cannot use up what this node may bring to the others")
    func sw7ShardShare() throws {
        var bench = try Bench(quota: 1 << 30)
        let other = Box(Key(2))
        #expect(bench.shard(of: box) != bench.shard(of: other))
        let map = try #require(bench.replica.views.first).map
        let boxes = (0..<4_000 as Range<UInt32>).lazy.map { Box(Key(20_000 + $0)) }
            .filter { map.shard(of: $0.id) == map.shard(of: box.id) }.prefix(20)
        func stores(_ boxes: [Box]) -> Int {
            boxes.enumerated().prefix { number, box in
                isStored(bench.store(box.message(UInt64(number), created: now, sizeClass: 5)))
            }.count
        }
        // Half of a peer's share, divided by 64 common shards, and half of that for new boxes: 32 items. One box gets
        // half of it, and the item with which it is scarce.
        #expect(stores([Box](repeating: box, count: 40)) == 17)
        #expect(stores(Array(boxes)) == (1 << 30) / 2 / 2 / 64 / 2 / 65_536 - 17)
        #expect(isStored(bench.store(other.message(1, created: bench.minute / 10 * 10))))
    }

    @Test("SW7: what a shard admits is left to boxes that have little once it is scarce", arguments: [true, false])
    func sw7Scarce(isNew: Bool) {
        var coordinator = Coordinator(quota: 1 << 40, now: 0)
        coordinator.share(64 << 16, [3])
        func admits(held: Int, isNew: Bool) -> Int {
            var count = 0
            while count < 100, coordinator.admit(65_536, 3, held: held, growth: 65_536, isNew: isNew, 0) { count += 1 }
            return count
        }
        // Newcomers have used up their half, so the others have theirs.
        if !isNew { #expect(admits(held: 0, isNew: true) == 32) }
        #expect(admits(held: 65_536, isNew: isNew) == 17)
        #expect(admits(held: 65_535, isNew: isNew) == 15)
    }

    @Test("SW19: what is stored again asks no replica again, and brings the receipts that are there")
    func sw19StoredAgain() throws {
        var bench = try Bench()
        let item = box.named(.descriptor, name("web"), created: now, content: [], certified: Key(3))
        func ask(_ number: UInt64, over link: Key) -> [Replica<AnyStorage>.Action] {
            bench.handle([.request(ask: number, via: link.node, .store(height: 1, item), binding: network)])
        }
        func questions(_ actions: [Replica<AnyStorage>.Action]) -> [(peer: NodeID, number: UInt64)] {
            actions.compactMap {
                if case .ask(let peer, .replicate, _, let number) = $0 { (peer, number) } else { nil }
            }
        }
        let first = questions(ask(1, over: Key(8)))
        #expect(first.count == 2)
        // While the replicas have not answered, others wait for the same answers.
        #expect(ask(2, over: Key(9)).isEmpty)
        let peer = try #require(bench.peers.first { $0.node == first[0].peer })
        let receipt = peer.sign(StoreReceipt.message(height: 1, id: item.id, network: network))
        let answers = bench.handle([.answer(question: first[0].number, Replicate.encode([.held(receipt)]))])
        #expect(answers.count == 2)
        for number in 1...2 as ClosedRange<UInt64> {
            let receipts = answers.compactMap { action -> Int? in
                if case .answer(number, .stored(1, let receipts)) = action { receipts.count } else { nil }
            }
            #expect(receipts == [2])
        }
        // From then on the answer is there at once, and costs the others nothing.
        for number in 3..<1_000 as Range<UInt64> {
            let actions = ask(number, over: Key(9))
            guard case .answer(number, .stored(1, _))? = actions.first, actions.count == 1 else {
                throw Unexpected()
            }
        }
        // After a minute the replicas are asked once more.
        bench.now += Coordinator.persistence
        _ = bench.handle([.tick])
        #expect(questions(ask(1_000, over: Key(9))).count == 2)
        #expect(ask(1_001, over: Key(8)).isEmpty)
    }

    @Test("SW8: what a peer hands on in comparisons keeps nothing out that it coordinates", arguments: [0, 1])
    func sw8HandedOn(round: Int) throws {
        // A share has room for one of the longest items.
        var (bench, source) = (try Bench(quota: 240_000), try Bench())
        let (peer, minutes) = (bench.peers[0], SwarmLimits.rangeMinutes + SwarmLimits.settleMinutes)
        let old = (0..<4 as Range<UInt64>).map { box.message($0, created: now - minutes, sizeClass: 5) }
        if round == 0 {
            #expect(old[..<2].map { bench.bring([.item($0)]) } == [[0], [4]])
        } else {
            for items in [old[..<2], old[2...]] { #expect(source.bring(items.map { .item($0) }) == [0, 0]) }
            bench.replica.peers[peer.node]?.nextCompare = 0
            bench.replica.peers[bench.peers[1].node]?.nextCompare = .max
            bench.play(bench.handle([.tick])) { _, kind, body in source.reply(to: kind, body, from: peer) }
            // One in the share of joining, one in that of comparisons.
            #expect(old.count { bench.state($0) == true } == 2)
        }
        let young = (10..<12 as Range<UInt64>).map { box.message($0, created: now - minutes + 10, sizeClass: 5) }
        #expect(young.map { bench.bring([.item($0)]) } == [[0], [4]])
        // Nor does it keep out what other peers bring, where the disk has room.
        if round == 0 { #expect(bench.bring([.item(young[1])], from: bench.peers[1]) == [0]) }
    }

    @Test(
        "SW19: a flood of stores over one link, of held items or new ones, leaves others their part",
        arguments: [true, false])
    func sw19Flood(isHeld: Bool) throws {
        var bench = try Bench()
        func descriptor(_ number: UInt32) -> StoredItem {
            Box(Key(300 + number)).named(.descriptor, name("web"), created: now, content: [], certified: Key(3))
        }
        let flood = (0..<200 as Range<UInt32>).map { descriptor($0) }
        if isHeld {
            for item in flood {
                let time = bench.now
                let source = DescriptorPlaces.Source(shard: 3, coordinator: Key(8).node, bringer: Key(8).node)
                let isTaken = bench.replica.descriptors.take(item, from: source, now: time)
                #expect(isTaken)
            }
        }
        var (brought, refused, others) = (0, 0, 0)
        var ask: UInt64 = 0
        /// Stores an item; whether it was not refused.
        func store(_ item: StoredItem, over link: Key) -> Bool {
            ask += 1
            let actions = bench.handle([.request(ask: ask, via: link.node, .store(height: 1, item), binding: network)])
            brought += actions.count {
                if case .ask(bench.peers[0].node, .replicate, _, _) = $0 { true } else { false }
            }
            return !actions.contains { if case .answer(_, .refused) = $0 { true } else { false } }
        }
        // For 20 s all 200 items a second over one link; puts are forgotten, as if the flooder waited for their end.
        for second in 0..<20 as Range<UInt32> {
            for item in flood where !store(item, over: Key(8)) { refused += 1 }
            // The other link's store comes at the worst moment.
            if store(descriptor(1_000 + second), over: Key(9)) { others += 1 }
            bench.now += 1_000
            for number in bench.replica.coordinator.puts.keys { bench.replica.coordinator.end(number) }
            bench.replica.coordinator.asks = [:]
            if !isHeld { bench.replica.descriptors = DescriptorTable() }
        }
        #expect(others == 20)
        #expect(refused > 20 * 200 / 4)
        // A replica's budget for this node holds all of it.
        #expect(brought <= SwarmLimits.putBurst + 20 * SwarmLimits.putUnits)
        #expect(
            UInt64(SwarmLimits.putUnits * SwarmLimits.putUnit) * SwarmLimits.workWindow / 1_000 <= SwarmLimits.workBurst
                / 2)
    }
    @Test("SW19: the longest items and deletions of 64 have a part while many nodes flood", arguments: [1, 64])
    func sw19ManyUnits(count: Int) {
        var coordinator = Coordinator(quota: 1 << 30, now: 0)
        let (small, large) = (box.message(1, created: now), box.message(2, created: now, sizeClass: 5))
        let copies =
            count == 1 ? [.item(large)] : [Copy](repeating: .tombstone(box.tombstone(of: small)), count: count)
        let (floods, other) = ((10..<18 as Range<UInt32>).map { Key($0).node }, Key(9).node)
        var (units, taken) = (0, 0)
        for second in 0..<60 as Range<UInt64> {
            for flood in floods {
                let turns = (0..<64).filter { _ in coordinator.takeTurn(for: [.item(small)], via: flood, second * 1_000)
                }
                units += turns.count
            }
            if coordinator.takeTurn(for: copies, via: other, second * 1_000) { taken += 1 }
        }
        // A ninth of the rate is 14 units a second, of which it needs 16 or 64 for each turn.
        #expect(taken >= (count == 1 ? 20 : 10))
        #expect(units + taken * (count == 1 ? 16 : 64) <= SwarmLimits.putBurst + 60 * SwarmLimits.putUnits + 64)
    }
}

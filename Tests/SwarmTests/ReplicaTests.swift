import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// The behaviour of one replica.
@Suite(.onBothStorages) struct ReplicaTests {
    private let box = Box(Key(1))
    private let now = firstMinute

    private func isStored(_ answer: StoreAnswer?) -> Bool { if case .stored? = answer { true } else { false } }

    @Test("SW9: a coordinator may be some snapshots ahead or behind, also where heights are blocks apart")
    func sw9Heights() throws {
        var bench = try Bench()
        let keys = [Key(1_000)] + bench.peers
        var number: UInt64 = 0
        func status(_ height: UInt64) -> UInt8? {
            number += 1
            let item = Box(Key(1)).message(number, created: firstMinute)
            let body = Replicate(height: height, copies: [.item(item)]).encoded()
            guard let reply = bench.reply(to: .replicate, body),
                let outcome = try? Replicate.outcomes(decoding: reply.rawSpan, count: 1).first
            else { return nil }
            return if case .refused(let status) = outcome { status } else { 0 }
        }
        // Nothing is known of the distances yet.
        #expect(status(1) == 0 && status(1_000) == 0)
        for height in [31, 61, 91] as [UInt64] { _ = bench.handle([.snapshot(try bench.view(height, keys))]) }
        for height in [1, 31, 61, 91, 121, 151, 181] as [UInt64] { #expect(status(height) == 0, "\(height)") }
        for height in [0, 182, 211, .max] as [UInt64] { #expect(status(height) == 3, "\(height)") }
    }

    @Test("SW3: a store is answered at a majority of good receipts, or late with what is there")
    func sw3Store() throws {
        var bench = try Bench()
        let item = box.message(1, created: now)
        let actions = bench.handle([
            .request(ask: 9, via: bench.peers[0].node, .store(height: 1, item), binding: network)
        ])
        var questions: [(NodeID, UInt64)] = []
        for case .ask(let peer, .replicate, let body, let question) in actions {
            #expect(try Replicate(decoding: body.rawSpan, network: network).copies == [.item(item)])
            questions.append((peer, question))
        }
        #expect(questions.count == 2 && !actions.contains { if case .answer = $0 { true } else { false } })
        // The first peer's receipt is for another height, so it does not count.
        let keys = questions.map { question in bench.peers.first { $0.node == question.0 }! }
        func receipt(_ index: Int, _ height: UInt64) -> [UInt8] {
            Replicate.encode([
                .held(keys[index].sign(StoreReceipt.message(height: height, id: item.id, network: network)))
            ])
        }
        #expect(bench.handle([.answer(question: questions[0].1, receipt(0, 2))]).isEmpty)
        let last = bench.handle([.answer(question: questions[1].1, receipt(1, 1))])
        guard case .answer(9, .stored(1, let receipts))? = last.first else { return #expect(Bool(false)) }
        #expect(receipts.count == 2)
        // Without an answering peer there is only this node's receipt.
        guard case .stored(1, let alone)? = bench.store(box.message(2, created: now)) else {
            return #expect(Bool(false))
        }
        #expect(alone.count == 1)
        #expect(bench.store(item, height: 2) == .refused(.notReplica(height: 1)))
    }

    @Test("SW4, SW5: a deletion wins in either order, and proves itself")
    func sw4Deletion() throws {
        var bench = try Bench()
        let (item, other) = (box.message(1, created: now), box.message(2, created: now))
        #expect(isStored(bench.store(item)) == true)
        let wrong = DeleteProof.token(Box.token(2))
        #expect(bench.request(.delete(box: box.id, [.init(id: item.id, proof: wrong)])) == .refused(.notAuthorised))
        #expect(bench.state(item) == true)
        let right = DeleteProof.token(Box.token(1))
        #expect(bench.request(.delete(box: box.id, [.init(id: item.id, proof: right)])) == .deleted(1, replicas: 1))
        #expect(bench.state(item) == false)
        #expect(bench.bring([.item(item)]) == [0])
        #expect(bench.state(item) == false)
        #expect(bench.store(item) == .refused(.superseded(created: now, counter: 0)))
        #expect(bench.state(item) == false)
        #expect(bench.request(.delete(box: box.id, [.init(id: other.id, proof: right)])) == .deleted(0, replicas: 0))
        // A tombstone may arrive before its item.
        #expect(bench.bring([.tombstone(box.tombstone(of: other, token: 1))]) == [6])
        #expect(bench.bring([.tombstone(box.tombstone(of: other))]) == [0])
        #expect(bench.bring([.item(other)]) == [0])
        #expect(bench.state(other) == false)
    }

    @Test("SW4, SW6: grants and purges drop what they do not cover, and refuse it from then on")
    func sw6GrantsAndPurges() throws {
        var bench = try Bench()
        let (a, b) = (Key(4), Key(5))
        #expect(bench.bring([.item(box.message(1, created: now, by: a))]) == [6])
        let first = box.grant([.init(key: a.publicKey), .init(key: b.publicKey)], created: now)
        let (mine, blocked) = (box.message(1, created: now, by: a), box.message(2, created: now, by: b))
        #expect(bench.bring([.item(first), .item(mine), .item(blocked)]) == [0, 0, 0])
        let second = box.grant([.init(key: a.publicKey)], created: now, counter: 1)
        #expect(bench.bring([.item(second)]) == [0])
        #expect(bench.state(mine) == true && bench.state(blocked) == nil && bench.state(first) == nil)
        #expect(bench.bring([.item(blocked), .item(first)]) == [6, 9])
        #expect(bench.store(first) == .refused(.superseded(created: now, counter: 1)))

        let purge = box.purge(before: now + 10, created: now + 70)
        bench.now += 70 * 60_000
        #expect(bench.bring([.item(purge)]) == [0])
        #expect(bench.state(mine) == nil)
        #expect(bench.bring([.item(mine)]) == [7])
    }

    @Test("SW6: grants one after the other cost no more than 500 messages a second, and other boxes have their turns")
    func sw6Flood() throws {
        var bench = try Bench()
        let shard = bench.shard(of: box)
        let (old, other) = (Key(4), Box(Key(2)))
        let grants = (1...61 as ClosedRange<UInt8>).map {
            box.grant([.init(key: Key(100 + UInt32($0)).publicKey)], created: now, counter: $0)
        }
        let first = box.grant([.init(key: old.publicKey)], created: now)
        bench.replica.holdings.take(.item(first), shard: shard, minute: now)
        for number in 0..<600 as Range<UInt64> {
            bench.replica.holdings.take(.item(box.message(number, created: now, by: old)), shard: shard, minute: now)
        }
        func left() -> Int { bench.replica.storage.usage(of: box.id, .message).items }
        for _ in 0..<3 {
            _ = bench.handle([.tick])
            bench.now += 1_000
        }
        #expect(left() == 600 && bench.replica.storage.sweeps().isEmpty)
        // Each grant ends what the one before began. They come in one message, and one by one.
        #expect(bench.bring(grants[..<30].map { .item($0) }) == [UInt8](repeating: 0, count: 30))
        #expect(left() == 100)
        for grant in grants[30..<60] { #expect(bench.bring([.item(grant)]) == [0]) }
        #expect(left() == 100)
        // Another box's purge is done in its turn.
        let message = other.message(1, created: now)
        #expect(bench.bring([.item(message)]) == [0])
        bench.now += 70 * 60_000
        #expect(bench.bring([.item(other.purge(before: now + 10, created: now + 70)), .item(grants[60])]) == [0, 0])
        #expect(left() == 0 && bench.state(message) == nil)
    }

    @Test("SW7: the admission keeps new boxes out, and then all; a box has its quota, the disk too")
    func sw7Quotas() throws {
        // The quota has 196 items of 2 KiB: one a day, and half of that for new boxes, so none for another new box.
        var small = try Bench(quota: 196 * 2 * 2_048)
        #expect(isStored(small.store(box.message(1, created: now))) == true)
        #expect(small.store(box.message(2, created: now)) == .refused(.full))
        small.now += 86_400_000
        #expect(isStored(small.store(box.message(2, created: small.minute))) == true)
        // An account box holds 64 KiB.
        var bench = try Bench()
        let long = [UInt8](repeating: 1, count: 16_000)
        for index in 0..<5 {
            let item = box.named(.account, name("n\(index)"), created: now, content: long, certified: nil)
            let isTaken = isStored(bench.store(item))
            #expect(isTaken == (index < 4))
        }
        var tiny = try Bench(quota: 4_100)
        #expect(tiny.bring([.item(box.message(1, created: now)), .item(box.message(2, created: now))]) == [0, 4])
    }

    @Test(
        "SW8: a peer brings no more than its share, and hands over no more than another share to a shard that is joined"
    )
    func sw8Share() {
        var peer = ReplicaPeer(share: 10_000, joinShare: 20_000, nextCompare: 0, now: 0)
        func brings(_ sizes: [Int], _ way: ReplicaPeer.Way, _ now: UInt64) -> [Bool] {
            sizes.map { peer.brings($0, way, now) }
        }
        let life = UInt64(ItemKind.message.life) * 60_000
        for way in [ReplicaPeer.Way.coordinates, .compares] {
            #expect(brings([8_000, 4_000], way, 0) == [true, false])
            #expect(brings([4_000, 4_000], way, life / 2) == [true, false])
        }
        #expect(brings([15_000, 6_000], .joins, life / 2) == [true, false])
    }

    @Test("SW14: what is too far ahead or expired is refused, and what expires goes")
    func sw14Times() throws {
        var bench = try Bench()
        #expect(bench.store(box.message(1, created: now + 40)) == .refused(.timeInvalid))
        #expect(bench.store(box.message(1, created: now - 40)) == .refused(.timeInvalid))
        #expect(bench.bring([.item(box.message(1, created: now + 50))]) == [7])
        let item = box.message(2, created: now + 40)
        #expect(bench.bring([.item(item)]) == [0])
        bench.now += UInt64(ItemKind.message.life + 40) * 60_000
        _ = bench.handle([.tick])
        #expect(bench.state(item) == nil)
        #expect(bench.bring([.item(item)]) == [7])
        #expect(bench.replica.storage.count == 0 && bench.replica.storage.bytesUsed == 0)
    }

    @Test("SW11: what could not be written is acknowledged to nobody")
    func sw11FailedCommit() throws {
        var storage = try Backend.storage()
        try storage.setFailing(true)
        var bench = try Bench(storage: storage)
        let item = box.message(1, created: now)
        #expect(bench.store(item) == .refused(.full))
        #expect(bench.bring([.item(item)]) == [4])
        #expect(bench.state(item) == nil)
    }

    @Test("SW11: a damaged entry is not shown, its shard may lack items, and a peer brings the entry again")
    func sw11Damage() throws {
        var bench = try Bench()
        var source = try Bench()
        let items = (0..<3 as Range<UInt64>).map { box.message($0, created: now - 60) }
        for item in items {
            #expect(bench.bring([.item(item)]) == [0])
            #expect(source.bring([.item(item)]) == [0])
        }
        let shard = bench.shard(of: box)
        let me = bench.peers[0]
        func run() {
            for _ in 0..<45 {
                source.now += 60_000
                bench.run(minutes: 1) { _, kind, body in source.reply(to: kind, body, from: me) }
            }
        }
        run()
        #expect(bench.replica.isComplete(shard))
        try bench.replica.holdings.storage.damage(items[1].id)
        _ = bench.handle([.tick])
        let actions = bench.handle([.tick])
        #expect(bench.replica.counts.damaged == 1 && !bench.replica.isComplete(shard))
        #expect(bench.state(items[1]) == nil && bench.state(items[0]) == true)
        #expect(bench.replica.storage.totals()[shard]?.entries == 2)
        bench.play(actions) { _, kind, body in source.reply(to: kind, body, from: me) }
        run()
        let isBack = bench.replica.storage.bytes(of: items[1].id) == items[1].bytes
        #expect(isBack)
        #expect(bench.replica.counts.fetched > 0 && bench.replica.isComplete(shard))
    }

    @Test("The operator's new quota counts at once")
    func newQuota() throws {
        var bench = try Bench(quota: 4_400)
        let items = (0..<3 as Range<UInt64>).map { box.message($0, created: now) }
        #expect(bench.bring([.item(items[0])]) == [0])
        #expect(bench.bring([.item(items[1]), .item(items[2])], from: bench.peers[1]) == [0, 4])
        bench.replica.apply(.init(quota: 1 << 30, recoveryRate: 1 << 20))
        #expect(bench.bring([.item(items[2])]) == [0])
    }

    @Test("SW16: a read needs the box key's word for this request; offsets and log ids go on")
    func sw16Reading() throws {
        var bench = try Bench()
        let item = box.message(1, created: now)
        #expect(isStored(bench.store(item)) == true)
        let binding = Key(9).publicKey
        let read = box.read(binding: binding)
        #expect(bench.request(.list(read, kinds: .all)) == .refused(.notAuthorised))
        guard case .listed(let listing)? = bench.request(.list(read, kinds: .all), binding: binding) else {
            return #expect(Bool(false))
        }
        #expect(listing.entries.map(\.shortID) == [ShortID.of(item.id, binding: binding)] && listing.isOutOfDate)
        #expect(listing.entries.map(\.offset) == [1] && !listing.hasMore)
        let fetch = StoreRequest.fetch(box.read(log: listing.log, binding: binding), offsets: [1, 2])
        #expect(bench.request(fetch, binding: binding) == .items([item.bytes]))
        let other = StoreRequest.fetch(box.read(log: listing.log &+ 1, binding: binding), offsets: [1])
        #expect(bench.request(other, binding: binding) == .items([]))
    }

    @Test("Subscribers have what was there, what comes, what is deleted, and are sent on")
    func subscriptions() throws {
        var bench = try Bench()
        let items = (0..<6 as Range<UInt64>).map { box.message($0, created: now) }
        #expect(bench.bring(items.map { .item($0) }) == [0, 0, 0, 0, 0, 0])
        let open = SubscriptionOpen(box.read(binding: network), kinds: .all)
        func events(_ actions: [Replica<AnyStorage>.Action]) -> [SubscriptionEvent] {
            actions.compactMap { if case .push(5, let event) = $0 { event } else { nil } }
        }
        let first = events(bench.handle([.subscribe(id: 5, via: bench.peers[0].node, open, binding: network)]))
        #expect(first.count == 1 + SwarmLimits.pushWindow && first[0] == .outOfDate(true))
        var rest: [SubscriptionEvent] = []
        for _ in 0..<6 { rest += events(bench.handle([.pushed(id: 5)])) }
        #expect(rest.count == 3)
        guard case .caughtUp(_, 6)? = rest.last else { return #expect(Bool(false)) }
        let tombstone = Copy.tombstone(box.tombstone(of: items[0]))
        let body = Replicate(height: 1, copies: [tombstone]).encoded()
        let gone = events(bench.handle([.message(ask: 1, from: bench.peers[0].node, .replicate, body)]))
        #expect(gone.first == .deleted(offset: 7, items[0].id))
        let moved = bench.handle([.snapshot(try bench.view(2, bench.peers))])
        #expect(events(moved) == [.moved(height: 2)] && moved.contains(.close(id: 5)))
    }

    @Test("SW17: descriptors have a bound, and the one that nobody looks up gives way")
    func sw17Descriptors() throws {
        var table = DescriptorTable(capacity: 8)
        func descriptor(_ number: UInt32, _ title: String = "web", counter: UInt8 = 0) -> StoredItem {
            Box(Key(200 + number)).named(
                .descriptor, name(title), created: now, counter: counter, content: [], certified: Key(3))
        }
        let kept = descriptor(0)
        let (one, other) = (Key(8).node, Key(9).node)
        func take(_ item: StoredItem, from source: NodeID, now: UInt64 = 0) -> Bool {
            table.take(item, from: .init(shard: 3, coordinator: source, bringer: source), now: now)
        }
        #expect(take(kept, from: one))
        _ = table.lookUp(kept.header.box, name: .zeros, minute: now)
        for number in 1..<20 as Range<UInt32> { #expect(take(descriptor(number), from: other)) }
        #expect(table.count == 6)
        #expect(table.version(of: kept.header.box, name("web")) == kept)
        for count in 1..<10 as Range<UInt64> {
            let next = descriptor(0, counter: UInt8(count))
            try table.check(next, now: count)
            #expect(take(next, from: other, now: count))
        }
        #expect(throws: StoreRefusal.busy(seconds: 100)) { try table.check(descriptor(0, counter: 10), now: 11) }
        try table.check(descriptor(0, counter: 10), now: 200_000)
        for index in 0..<7 { _ = take(descriptor(0, "n\(index)"), from: one) }
        table.expire(minute: now + 180)
        #expect(table.count == 0)
    }

    @Test("SW12: strangers and what is longer than allowed are refused; comparisons are for replicas near in time")
    func sw12Strangers() throws {
        var bench = try Bench()
        #expect(bench.bring([.item(box.message(1, created: now))], from: Key(77)) == nil)
        func compare(_ cut: UInt32) -> Bool {
            let shards = [Compare.ShardDigest(shard: 3, digest: network)]
            let body = Compare(key: .zeros, cut: cut, .shards(shards)).encoded()
            let actions = bench.handle([.message(ask: 3, from: bench.peers[0].node, .compare, body)])
            return actions.contains { if case .reply(3, .some) = $0 { true } else { false } }
        }
        #expect([now, now - 20, now + 30, 0, .max - 5].map(compare) == [true, true, false, false, false])
        let long = [UInt8](repeating: 0, count: SwarmMessage.compare.longestBody + 1)
        #expect(bench.handle([.message(ask: 3, from: bench.peers[0].node, .compare, long)]) == [.reply(ask: 3, nil)])
    }

    @Test func budgetsFillEvenly() {
        var budget = ByteBudget(capacity: 1_000, window: 1_000, now: 0)
        #expect([budget.take(1_000, 0), budget.take(1, 0), budget.take(1, 1)] == [true, false, true])
        #expect([budget.available(500), budget.available(.max), budget.available(0)] == [499, 1_000, 1_000])
        var slow = ByteBudget(capacity: 10, window: 1_000_000, now: 0)
        #expect(slow.take(10, 0) == true)
        for time in 1...199_999 as ClosedRange<UInt64> where time % 1_000 == 0 { _ = slow.available(time) }
        #expect(slow.available(200_000) == 2)
        var large = ByteBudget(capacity: .max, window: .max, now: 0)
        #expect(large.take(.max, 0) == true)
        #expect(large.available(.max) == .max)
        var spent = ByteBudget(capacity: 1_000, window: 1_000, now: 0)
        spent.takeAll(upTo: 400, 0)
        #expect(spent.available(0) == 600)
        spent.takeAll(upTo: .max, 0)
        #expect([spent.available(0), spent.available(100)] == [0, 100])
    }
}

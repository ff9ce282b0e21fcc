import OnionCrypto
import SeededRandom
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// Clients and peers that want more than their share, and items that must not come back.
@Suite(.onBothStorages) struct HostileStoreTests {
    private let box = Box(Key(1))
    private let now = firstMinute

    private func isStored(_ answer: StoreAnswer?) -> Bool { if case .stored? = answer { true } else { false } }

    // MARK: Shares

    @Test("SW8: a replica that joins takes no more of one peer than its share")
    func sw8Joining() throws {
        var bench = try Bench(quota: 240_000)
        let items = (0..<3 as Range<UInt64>).map { box.message($0, created: now, sizeClass: 5) }
        #expect(bench.replica.isComplete(bench.shard(of: box)) == false)
        #expect(items.map { bench.bring([.item($0)]) } == [[0], [4], [4]])
        #expect(bench.bring([.item(items[1])], from: bench.peers[1]) == [0])
        // Copies that a peer hands over when it is asked have a share too.
        var joining = try Bench(quota: 240_000)
        var source = try Bench()
        let old = (10..<14 as Range<UInt64>).map { box.message($0, created: now - 60, sizeClass: 5) }
        #expect(source.bring(old[..<2].map { .item($0) }) == [0, 0])
        #expect(source.bring(old[2...].map { .item($0) }) == [0, 0])
        joining.replica.peers[joining.peers[0].node]?.nextCompare = 0
        joining.replica.peers[joining.peers[1].node]?.nextCompare = .max
        let me = joining.peers[0]
        joining.play(joining.handle([.tick])) { _, kind, body in source.reply(to: kind, body, from: me) }
        // One item in each share.
        #expect(old.count { joining.state($0) == true } == 2)
    }

    @Test("SW8: a full replica takes what makes it smaller, and tombstones")
    func sw8Full() throws {
        var bench = try Bench(quota: 5_200)
        let record = box.record(name("a"), created: now, content: [1])
        let (held, refused) = (box.message(1, created: now), box.message(2, created: now))
        let shard = bench.shard(of: box)
        for item in [record, held] { bench.replica.holdings.take(.item(item), shard: shard, minute: now) }
        #expect(bench.bring([.item(refused)]) == [4])
        #expect(bench.bring([.item(box.record(name("a"), created: now, counter: 1, content: [2]))]) == [0])
        let tombstones = [refused, held].map { Copy.tombstone(box.tombstone(of: $0)) }
        #expect(bench.bring(tombstones, from: bench.peers[1]) == [0, 0])
        #expect(bench.state(held) == false && bench.state(refused) == false)
    }

    @Test("A put that is answered gives way first, then one of who has the most")
    func putsGiveWay() throws {
        let (one, other) = (Key(8).node, Key(9).node)
        let copy = Copy.item(box.message(1, created: now))
        func put(_ via: NodeID, isAnswered: Bool) -> Coordinator.Put {
            var put = Coordinator.Put(copy: copy, height: 1, swarm: [], began: 0, via: via, waiting: [:])
            put.isAnswered = isAnswered
            return put
        }
        var coordinator = Coordinator(quota: 1 << 30, now: 0)
        for index in 0..<SwarmLimits.puts { _ = coordinator.begin(put(one, isAnswered: index == 5)) }
        let hasRoom = coordinator.makeRoom(for: [copy], via: one)
        #expect(hasRoom && coordinator.puts[6] == nil && coordinator.puts.count == SwarmLimits.puts - 1)
        _ = coordinator.begin(put(one, isAnswered: false))
        let hasMore = coordinator.makeRoom(for: [copy], via: one)
        #expect(!hasMore)
        let hasShare = coordinator.makeRoom(for: [copy], via: other)
        #expect(hasShare && coordinator.puts[1] == nil)
    }

    @Test("SW19: a put that finds no place owes nothing") func sw19NoDebt() {
        let via = Key(8).node
        let copy = Copy.item(box.message(1, created: now))
        var coordinator = Coordinator(quota: 1 << 30, now: 0)
        for _ in 0..<SwarmLimits.puts {
            _ = coordinator.begin(.init(copy: copy, height: 1, swarm: [], began: 0, via: via, waiting: [:]))
        }
        let many = [Copy](repeating: copy, count: 64)
        let begun = (0..<SwarmLimits.putBurst / 2).map { _ in coordinator.takeTurn(for: many, via: via, 0) }
        coordinator.end(1)
        let mayBegin = coordinator.takeTurn(for: [copy], via: via, 0)
        #expect(!begun.contains(true) && mayBegin)
    }

    @Test("SW17: a descriptor that is held is acknowledged as often as it comes, and counts nothing")
    func sw17SameAgain() throws {
        var bench = try Bench()
        func descriptor(_ counter: UInt8) -> StoredItem {
            box.named(.descriptor, name("web"), created: now, counter: counter, content: [], certified: Key(3))
        }
        for _ in 0..<15 { #expect(isStored(bench.store(descriptor(0)))) }
        #expect(bench.bring([.item(descriptor(0))]) == [0])
        #expect(isStored(bench.store(descriptor(1))))
    }

    @Test("SW17: one peer's descriptors do not displace those of others")
    func sw17PeerShare() throws {
        var table = DescriptorTable(capacity: 8)
        let (one, other) = (Key(8).node, Key(9).node)
        func take(_ number: UInt32, from source: NodeID) -> Bool {
            let item = Box(Key(200 + number)).named(
                .descriptor, name("web"), created: now, content: [], certified: Key(3))
            return table.take(item, from: .init(shard: 3, coordinator: source, bringer: source), now: 0)
        }
        for number in 0..<3 as Range<UInt32> { #expect(take(number, from: one)) }
        for number in 10..<40 as Range<UInt32> { #expect(take(number, from: other)) }
        let kept = (0..<3 as Range<UInt32>).count { table.version(of: Key(200 + $0).publicKey, name("web")) != nil }
        #expect(kept == 3 && table.count == 6)
    }

    @Test("SW17: what clients store over many proxies counts for this node, beside what each other replica brings")
    func sw17Coordinators() throws {
        var bench = try Bench()
        bench.replica.descriptors = DescriptorTable(capacity: 24)
        let map = try #require(bench.replica.views.first).map
        let boxes = (0..<4_000 as Range<UInt32>).lazy.map { Box(Key(20_000 + $0)) }
            .filter { map.shard(of: $0.id) == map.shard(of: box.id) }.prefix(24)
        let items = boxes.map { $0.named(.descriptor, name("web"), created: now, content: [], certified: Key(3)) }
        #expect(items.count == 24)
        #expect(bench.bring(items.prefix(4).map { .item($0) }) == [0, 0, 0, 0])
        for (number, item) in items.enumerated().dropFirst(4) {
            let proxy = Key(30_000 + UInt32(number)).node
            let ask = UInt64(number)
            _ = bench.handle([.request(ask: ask, via: proxy, .store(height: 1, item), binding: network)])
        }
        #expect(bench.replica.descriptors.count == 18)
        #expect(items.prefix(4).allSatisfy { bench.replica.descriptors.holds($0) })
    }

    @Test("One item pushes no more than 8 MiB over a link, and a reader that stalls is ended")
    func pushesHaveABound() throws {
        var bench = try Bench(quota: 1 << 34)
        #expect(bench.bring([.item(box.message(1, created: now, sizeClass: 5))]) == [0])
        let open = SubscriptionOpen(box.read(binding: network), kinds: .all)
        func items(_ actions: [Replica<AnyStorage>.Action]) -> [UInt64] {
            actions.compactMap { if case .push(let id, .item) = $0 { id } else { nil } }
        }
        func subscribe(_ ids: Range<UInt64>, over link: Key) -> [UInt64] {
            items(bench.handle(ids.map { .subscribe(id: $0, via: link.node, open, binding: network) }))
        }
        let most = SwarmLimits.linkPushUnits * 4_096 / 65_536
        #expect(subscribe(0..<200, over: Key(8)).count == most)
        #expect(subscribe(200..<210, over: Key(9)).count == 10)
        // Each push that has been sent lets another one go.
        #expect(items(bench.handle([.pushed(id: 0), .pushed(id: 1)])) == [128, 129])
        bench.now += SwarmLimits.pushPatience
        let actions = bench.handle([.tick])
        #expect(
            actions.contains(.close(id: 5)) && !actions.contains(.close(id: 0)) && !actions.contains(.close(id: 150)))
    }

    @Test("A link's subscriptions give way to those of others")
    func subscriptionsAreShared() {
        var table = Subscriptions()
        let (one, other) = (Key(8).node, Key(9).node)
        func reader(_ via: NodeID) -> Subscriptions.Subscription {
            .init(box: network, shard: 0, kinds: .all, via: via, log: 0, cursor: 0)
        }
        for id in 0..<UInt64(SwarmLimits.subscriptions) { table.add(id, reader(one)) }
        #expect(table.hasPlace(via: one) == (false, nil))
        #expect(table.hasPlace(via: other) == (true, UInt64(SwarmLimits.subscriptions) - 1))
    }

    @Test("A subscription that cannot push waits in one place, however often it is tried")
    func subscriptionsWaitOnce() throws {
        var table = Subscriptions()
        for id in 0..<5 as Range<UInt64> {
            table.add(id, .init(box: network, shard: 0, kinds: .all, via: Key(8).node, log: 0, cursor: 0))
        }
        var first = try #require(table.all[0])
        let all = SwarmLimits.linkPushUnits
        let units = table.take(all * 4_096, for: 0, via: first.via)
        first.underway = [try #require(units)]
        table.update(0, first)
        for _ in 0..<100 { for id in 1..<4 as Range<UInt64> { #expect(table.take(1, for: id, via: first.via) == nil) } }
        table.remove(2)
        #expect(table.takeQueued() == [1, 3])
        for _ in 0..<100 { for id in 3..<5 as Range<UInt64> { #expect(table.take(1, for: id, via: first.via) == nil) } }
        table.pushed(0, 1)
        #expect(table.takeQueued() == [0, 3, 4])
        #expect(table.take(all * 4_096, for: 0, via: first.via) == all)
        #expect(table.take(1, for: 1, via: first.via) == nil)
        table.queueAll()
        #expect(table.take(1, for: 1, via: first.via) == nil)
        #expect(table.takeQueued() == [1])
    }

    // MARK: Deletion

    @Test("SW4: the box key's tombstone outlasts the grant of the item's author")
    func sw4TombstoneWithoutGrant() throws {
        var bench = try Bench()
        let (a, b) = (Key(4), Key(5))
        func grant(_ keys: [Key], _ counter: UInt8) -> Copy {
            .item(box.grant(keys.map { .init(key: $0.publicKey) }, created: now, counter: counter))
        }
        let item = box.message(1, created: now, by: a)
        #expect(bench.bring([grant([a], 0), .item(item), .tombstone(box.tombstone(of: item))]) == [0, 0, 0])
        #expect(bench.bring([grant([b], 1)]) == [0])
        #expect(bench.state(item) == false)
        #expect(bench.bring([grant([a, b], 2), .item(item)]) == [0, 0])
        #expect(bench.state(item) == false)
        // A replica without the grant accepts it too, and also in place of a tombstone by the token.
        var other = try Bench()
        #expect(other.bring([.tombstone(box.tombstone(of: item))]) == [0])
        var third = try Bench()
        #expect(third.bring([grant([a], 0), .tombstone(box.tombstone(of: item, token: 1))]) == [0, 0])
        #expect(third.bring([.tombstone(box.tombstone(of: item)), grant([b], 1)]) == [0, 0])
        #expect(third.state(item) == false)
    }

    @Test("SW4: tombstones of greater effort bring no contact request back")
    func sw4ContactFloor() throws {
        var holdings = Holdings(network: network, storage: try Backend.storage(), random: SeededGenerator(seed: 1))
        let lock = DeleteProof.lock(of: Box.token(1))
        func contact(_ number: UInt64) -> StoredItem {
            let header = ItemHeader(kind: .contact, box: box.id, created: now, lock: lock, hint: number)
            return StoredItem(header, body: [UInt8](repeating: 0, count: 4_096 - 128), network: network) { _ in [] }!
        }
        var weak: [StoredItem] = []
        var strong: [StoredItem] = []
        var number: UInt64 = 0
        while strong.count < SwarmLimits.boxContactTombstones + 1 {
            number += 1
            let item = contact(number)
            if item.effort == 0 { weak.append(item) } else { strong.append(item) }
        }
        let (byOwner, byToken) = (weak[0], weak[1])
        func delete(_ item: StoredItem, _ proof: DeleteProof) {
            holdings.take(.tombstone(Tombstone(of: item, proof: proof)), shard: 0, minute: now)
        }
        delete(byOwner, box.proof(of: byOwner.id))
        delete(byToken, .token(Box.token(1)))
        for item in strong { delete(item, .token(Box.token(1))) }
        #expect(holdings.storage.entry(byOwner.id)?.isDeleted == true)
        #expect(holdings.storage.entry(byToken.id) == nil)
        #expect(throws: StoreRefusal.full) { try holdings.check(.item(byToken), minute: now) }
        #expect(throws: StoreRefusal.full) { try holdings.check(.item(weak[2]), minute: now) }
    }

    @Test("SW5: a deletion of what is deleted needs a proof as well")
    func sw5DeletedAgain() throws {
        var bench = try Bench()
        let item = box.message(1, created: now)
        #expect(isStored(bench.store(item)))
        func delete(_ number: UInt64) -> StoreAnswer? {
            bench.request(.delete(box: box.id, [.init(id: item.id, proof: .token(Box.token(number)))]))
        }
        #expect(delete(1) == .deleted(1, replicas: 1))
        #expect(delete(2) == .refused(.notAuthorised))
        #expect(delete(1) == .deleted(1, replicas: 1))
    }

    @Test("SW6: a purge drops a box's messages in slices, and goes on after a restart")
    func sw6Slices() throws {
        var holdings = Holdings(network: network, storage: try Backend.storage(), random: SeededGenerator(seed: 1))
        for number in 0..<1_200 as Range<UInt64> {
            holdings.take(.item(box.message(number, created: now)), shard: 0, minute: now)
        }
        holdings.take(.item(box.purge(before: now + 10, created: now + 70)), shard: 0, minute: now + 70)
        holdings.sweep(at: 1)
        #expect(holdings.storage.usage(of: box.id, .message).items == 700)
        holdings = Holdings(network: network, storage: holdings.storage, random: SeededGenerator(seed: 2))
        holdings.sweep(at: 5_000)
        #expect(holdings.storage.usage(of: box.id, .message).items == 200)
        holdings.sweep(at: 5_500)
        #expect(holdings.storage.usage(of: box.id, .message).items == 0 && holdings.storage.sweeps().isEmpty)
    }

    @Test("A certificate is for one kind of item")
    func certificatesNameTheKind() throws {
        let key = Key(3)
        let account = box.named(.account, name("web"), created: now, content: [], certified: key)
        let body = NamedVersion.body(
            kind: .descriptor, name: name("web"), counter: 0, certificate: account.version?.certificate, content: [])
        let header = ItemHeader(kind: .descriptor, box: box.id, created: now)
        let bytes = try #require(body)
        let descriptor = try #require(StoredItem(header, body: bytes, network: network, signature: key.sign))
        let writers = WriteKeys(box: box.id, grant: nil)
        #expect(account.isAuthentic(network: network, writers: writers))
        #expect(!descriptor.isAuthentic(network: network, writers: writers))
    }

    // MARK: Failed commits

    @Test("SW11: nobody reads what a failed commit undoes, and log ids are new after it")
    func sw11Readers() throws {
        var bench = try Bench()
        let item = box.message(1, created: now)
        let salt = bench.replica.holdings.salt
        try bench.replica.holdings.storage.setFailing(true)
        let body = Replicate(height: 1, copies: [.item(item)]).encoded()
        let open = SubscriptionOpen(box.read(binding: network), kinds: .all)
        let actions = bench.handle([
            .message(ask: 1, from: bench.peers[0].node, .replicate, body),
            .request(
                ask: 2, via: bench.peers[0].node, .list(box.read(binding: network), kinds: .all), binding: network),
            .subscribe(id: 3, via: bench.peers[0].node, open, binding: network),
        ])
        for case .answer(2, let answer) in actions {
            guard case .listed(let listing) = answer else { return #expect(Bool(false)) }
            #expect(listing.entries.isEmpty)
        }
        #expect(!actions.contains { if case .push(3, .item) = $0 { true } else { false } })
        #expect(bench.replica.holdings.salt != salt)
        try bench.replica.holdings.storage.setFailing(false)
        _ = bench.handle([.tick])
        #expect(bench.replica.storage.logSalt == bench.replica.holdings.salt)
    }

    @Test("SW11: a failed commit leaves no digest and no role that it undoes")
    func sw11Digests() throws {
        var bench = try Bench()
        let shard = bench.shard(of: box)
        let items = (0..<2 as Range<UInt64>).map { box.message($0, created: now - 60) }
        let peer = bench.peers[0].node
        bench.replica.peers[peer]?.nextCompare = 0
        try bench.replica.holdings.storage.setFailing(true)
        let body = Replicate(height: 1, copies: [.item(items[0])]).encoded()
        // The comparison that begins in the same batch hashes the shard.
        _ = bench.handle([.message(ask: 1, from: peer, .replicate, body), .tick])
        try bench.replica.holdings.storage.setFailing(false)
        #expect(bench.bring([.item(items[1])]) == [0])
        var fresh = ShardDigests()
        var storage = bench.replica.storage
        #expect(bench.replica.holdings.digest(of: shard, cut: now) == fresh.digest(of: shard, cut: now, &storage))
        #expect(bench.replica.shards.count == 64)
        _ = bench.handle([.tick])
        #expect(bench.replica.storage.shards().count == 64)
    }

    // MARK: Joining and leaving

    @Test("SW10: a replica that has left takes nothing new, and drops nothing that nobody has for 14 days")
    func sw10Leaving() throws {
        var bench = try Bench()
        let (kept, new) = (box.message(1, created: now), box.message(2, created: now))
        #expect(bench.bring([.item(kept)]) == [0])
        let others = bench.peers + [Key(1_003)]
        for height in 2...4 as ClosedRange<UInt64> { _ = bench.handle([.snapshot(try bench.view(height, others))]) }
        #expect(bench.bring([.item(new)]) == [3])
        bench.now += 73 * 3_600_000
        _ = bench.handle([.tick])
        #expect(bench.state(kept) == true)
        #expect(bench.bring([.tombstone(box.tombstone(of: kept))]) == [0])
        #expect(bench.state(kept) == false)
        bench.now += UInt64(SwarmLimits.formerMinutes) * 60_000
        _ = bench.handle([.tick])
        #expect(bench.replica.shards.isEmpty)
    }

    @Test("SW10: former replicas are known after a restart")
    func sw10Former() throws {
        var bench = try Bench()
        let shard = bench.shard(of: box)
        let former = bench.peers[1]
        let others = [Key(1_000), bench.peers[0], Key(1_003)]
        for height in 2...5 as ClosedRange<UInt64> { _ = bench.handle([.snapshot(try bench.view(height, others))]) }
        #expect(bench.replica.shares(shard, with: former.node))
        var again = Replica(
            network: network, key: Key(1_000).copy(), storage: bench.replica.storage,
            settings: .init(quota: 1 << 30, recoveryRate: 1), random: SeededGenerator(seed: 2), hasEndedCleanly: true,
            now: bench.now)
        _ = again.handle([.snapshot(try bench.view(5, others))], now: bench.now)
        #expect(again.shares(shard, with: former.node))
        // A replica that joins knows the replicas that it replaces.
        var joining = Replica(
            network: network, key: Key(1_003).copy(), storage: try Backend.storage(),
            settings: .init(quota: 1 << 30, recoveryRate: 1), random: SeededGenerator(seed: 2), hasEndedCleanly: true,
            now: bench.now)
        let before = [Key(1_000)] + bench.peers
        _ = joining.handle([.snapshot(try bench.view(1, before))], now: bench.now)
        for height in 2...5 as ClosedRange<UInt64> {
            _ = joining.handle([.snapshot(try bench.view(height, others))], now: bench.now)
        }
        #expect(joining.shares(shard, with: former.node))
    }

    @Test("SW10: a stand-in that leaves compares at once")
    func sw10StandIn() {
        var record = ShardRecord(joined: now)
        record.standIn = now
        #expect(ShardRole(record, since: now).waits(now + 10))
        record.left = now + 5
        #expect(!ShardRole(record, since: now).waits(now + 10))
    }
}

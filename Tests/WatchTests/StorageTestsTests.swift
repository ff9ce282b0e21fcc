import OnionCrypto
import Registry
import SeededRandom
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Watch

/// Storage tests over real replicas, in simulated time.
@Suite struct StorageTestsTests {
    /// How many of the other nodes found `node` dead at some time.
    private func accusers(of node: Int, in world: StorageWorld) -> Int { world.everDead[node]?.count ?? 0 }

    /// Checks that most of nine nodes found each cheat dead within `epochs`, and none found another node dead.
    private func check(_ world: StorageWorld, _ cheats: [Int], epochs: UInt64 = 6, _ note: String) {
        world.net.run(minutes: epochs * 60)
        for node in world.testers.indices {
            let found = accusers(of: node, in: world)
            #expect(cheats.contains(node) ? found >= 5 : found == 0, "\(note): node \(node) is dead for \(found)")
        }
    }

    @Test(
        "SW13: a replica that drops half of what it stores, or all copies, is dead for most within 6 epochs",
        arguments: 1...2 as ClosedRange<UInt64>)
    func sw13DropsHalf(_ seed: UInt64) {
        let world = StorageWorld(seed: seed, nodes: 9)
        world.drops[3] = { item, _ in item.id.array[0] & 1 == 0 }
        world.drops[5] = { _, isOwn in !isOwn }
        check(world, [3, 5], "seed \(seed)")
        let counts = world.testers[0].counts
        #expect(counts.retention.passed > 20 && counts.retention.failed > 2 && counts.acceptance.failed == 0)
    }

    @Test("SW13: a replica that keeps items only until they are read, or only copies, is dead for most")
    func sw13DropsWhatWasRead() {
        let world = StorageWorld(seed: 3, nodes: 9)
        world.drops[3] = { [unowned world] item, _ in
            world.listed[3, default: []].count { $0 == item.header.box } > 1
        }
        world.drops[5] = { _, isOwn in isOwn }
        check(world, [3, 5], epochs: 8, "read")
    }

    @Test("SW13: a replica that answers no STORE, or no LIST, although it serves, is dead for most")
    func sw13Silent() {
        let world = StorageWorld(seed: 4, nodes: 9)
        world.lies[3] = { $0 ? .silence : nil }
        world.lies[5] = { $0 ? nil : .silence }
        check(world, [3, 5], epochs: 8, "silent")
    }

    @Test("SW13: a replica that lists items and does not give them out, or calls itself full, is dead for most")
    func sw13Bodies() {
        let world = StorageWorld(seed: 8, nodes: 9)
        world.bodiless = [3]
        world.lies[5] = { $0 ? nil : .refusal(.full) }
        check(world, [3, 5], epochs: 8, "bodies")
    }

    @Test("SW13: silence counts only where paths went over the node meanwhile: one that is down gets no mark")
    func sw13Down() {
        let world = StorageWorld(seed: 9, nodes: 9)
        world.remembers = true
        world.net.run(minutes: 120)
        world.net.crash(3, losesDisk: false)
        world.net.run(minutes: 240)
        #expect(world.everDead.isEmpty)
        for (index, tester) in world.testers.enumerated() where index != 3 {
            #expect(tester.counts.retention.failed == 0 && tester.counts.acceptance.failed == 0, "tester \(index)")
        }
    }

    @Test("SW13: a node to which a tester has no path is not accused") func sw13Pathless() {
        let world = StorageWorld(seed: 10, nodes: 9)
        world.net.run(minutes: 120)
        world.pathless = [4]
        check(world, [], epochs: 6, "no path")
        #expect(world.testers.allSatisfy { $0.counts.acceptance.failed == 0 })
    }

    @Test("SW13: being out of date excuses a replica for six epochs, by the snapshots; a full one is not accused")
    func sw13OutOfDate() {
        let world = StorageWorld(seed: 5, nodes: 9)
        world.lies[3] = { _ in .outOfDate }
        world.lies[5] = { $0 ? .refusal(.full) : nil }
        world.lies[6] = { _ in .refusal(.busy(seconds: 5)) }
        world.net.run(minutes: 6 * 60 - 10)
        #expect(world.everDead.isEmpty)
        check(world, [3], epochs: 5, "out of date")
    }

    @Test("SW13: nobody can tell a test's item: form, sizes, coordinators and reads are those of users")
    func sw13LooksLikeAUsers() {
        let world = StorageWorld(seed: 6, nodes: 9)
        world.net.run(minutes: 4 * 60)
        let items = world.testItems
        #expect(items.count > 100)
        for item in items {
            let header = item.header
            #expect(header.kind == .message && header.lock.isZero)
            #expect(header.hint == header.box.array.prefix(8).reduce(0 as UInt64) { $0 << 8 | UInt64($1) })
            #expect(item.isAuthentic(network: SwarmModel.network, writers: WriteKeys(box: header.box, grant: nil)))
        }
        // Sizes above the smallest are tested too, and no box has two items.
        #expect(Set(items.map(\.sizeClass)).isSuperset(of: [0, 1, 2]))
        #expect(Set(items.map(\.header.box)).count == items.count)
        let own = items.count { world.coordinator(of: $0.header.box, is: 2) }
        let held = items.count {
            world.net.view.map.position(of: world.net.id(2), in: world.net.view.map.shard(of: $0.header.box)) != nil
        }
        // The tested node is the coordinator of a part of the items that it holds, not of all and not of none.
        #expect(own > held / 10 && own < held / 2)
        let reads = world.listed[2] ?? []
        #expect(Set(reads).count < reads.count, "some boxes are read more than once")
    }

    @Test(
        "SW13: no honest node is dead under loss, restarts, joins, a lost disk and a partition",
        arguments: 2...2 as ClosedRange<UInt64>)
    func sw13HonestNodes(_ seed: UInt64) {
        let world = StorageWorld(seed: seed, nodes: 9)
        world.loss = 15
        world.net.conditions.loss = 5
        for step in 1...42 as ClosedRange<Int> {
            world.net.run(minutes: 10)
            let index = Int.random(in: 0..<9, using: &world.net.random)
            if step % 3 == 0 {
                world.net.crash(index, losesDisk: step == 18)
                world.net.after(UInt64.random(in: 60_000...900_000, using: &world.net.random)) {
                    world.net.start(index)
                }
            }
            if step % 4 == 0 { world.restart(index) }
            if step == 10 { world.net.cutOff = [0, 4, 7] }
            if step == 19 { world.net.cutOff = [] }
            if step == 24 || step == 30 { _ = world.net.join() }
            if step % 6 == 0 {
                world.net.publish()
                world.net.run(minutes: 1)
                world.followAll()
            }
        }
        for node in world.testers.indices {
            #expect(accusers(of: node, in: world) < 2, "seed \(seed): node \(node)")
        }
        #expect(world.testers[1].counts.retention.passed > 5)
    }

    @Test("SW13: a tester whose requests all fail marks nobody, and with four of nine that drop all no other is dead")
    func sw13Blind() {
        let world = StorageWorld(seed: 7, nodes: 9)
        world.blind = [0]
        for node in 5..<9 { world.drops[node] = { _, _ in true } }
        world.net.run(minutes: 4 * 60)
        #expect(world.testers[0].tester.records.values.allSatisfy { $0.marks == 0 })
        #expect(world.testers[0].counts.acceptance.unclear > 0 && world.testers[0].counts.retention.failed == 0)
        #expect(world.testers[1].counts.retention.failed > 0)
        for node in 0..<5 { #expect(accusers(of: node, in: world) == 0) }
    }

    @Test("SW13: an item that no majority of others shows is held against nobody") func sw13Witnesses() {
        let world = StorageWorld(seed: 10, nodes: 9)
        for node in 0..<9 { world.drops[node] = { _, _ in true } }
        world.net.run(minutes: 150)
        #expect(world.testers.allSatisfy { $0.counts.retention.failed == 0 && $0.counts.retention.unclear > 0 })
    }

    @Test("SW13: an item that is missing once and shown five minutes later is held against nobody")
    func sw13AskedTwice() {
        let world = StorageWorld(seed: 11, nodes: 9)
        world.drops[3] = { [unowned world] item, _ in
            world.listed[3, default: []].count { $0 == item.header.box } % 2 == 1
        }
        world.net.run(minutes: 150)
        #expect(world.testers.allSatisfy { $0.counts.retention.failed == 0 })
        #expect(world.listed[3, default: []].count > 10)
    }

    @Test("SW13: requests of others for tests cost a bounded number of new items")
    func sw13Flood() {
        // A new item each 20 minutes, 8 at once.
        let world = StorageWorld(seed: 8, nodes: 9, storeInterval: .seconds(1_200))
        for _ in 0..<180 {
            for node in 2..<9 { world.expedite(node, at: 1, for: 0) }
            world.net.run(minutes: 1)
        }
        let counts = world.testers[1].counts
        #expect(counts.retention.passed > 20)
        #expect(counts.acceptance.passed + counts.acceptance.unclear <= 8 + 3 * 3 + 1)
    }

    @Test("SW13: the boxes outlast a restart, and boxes of nodes that left their swarms do not")
    func sw13Restart() {
        let world = StorageWorld(seed: 9, nodes: 9)
        world.net.run(minutes: 90)
        #expect(world.testers[0].boxCount == 8)
        world.restart(0)
        #expect(world.testers[0].boxCount == 8)
        world.net.run(minutes: 30)
        #expect(world.testers[0].counts.retention.passed > 0)
        world.net.setListed(4, false)
        world.net.publish()
        world.net.run(minutes: 2)
        world.followAll()
        #expect(world.testers[0].tester.records[world.net.id(4)] == nil)
        #expect(world.testers.indices.allSatisfy { !world.keeps($0, boxOf: 4) })
        // Newcomers take seats of nodes that stay.
        for _ in 0..<3 { _ = world.net.join() }
        world.net.publish()
        #expect(world.strayBoxes > 0)
        world.followAll()
        #expect(world.strayBoxes == 0)
    }

    @Test func rowsAreReadBack() throws {
        let box = TestBox(
            key: Key(1).publicKey, seed: Key(2).publicKey, id: Key(3).publicKey, sizeClass: 2,
            stored: UnixTime(seconds: 77))
        #expect(TestBox(decoding: box.encoded) == box)
        #expect(TestBox(decoding: Array(box.encoded.dropLast())) == nil)
        #expect(TestBox(decoding: []) == nil)
    }
}

/// Storage tests and the quorums of a ledger.
@Suite struct StorageJuryTests {
    @Test("SW13: a node that loses items is put out by storage tests alone, and is back when it keeps them again")
    func sw13PutOut() throws {
        let world = try World(10, seed: 1, hasStore: true)
        world.loses = { node, time in node == 4 && time >= 60 && time < 700 }
        world.run(until: 700)
        #expect(world.verdicts.first.map { $0.verdict == .decommission && $0.node == 4 } == true)
        #expect(world.verdicts.allSatisfy { $0.node == 4 })
        let before = world.verdicts.count
        // The node is voted back when the last results are out of date, at the latest.
        #expect(before <= 12)
        world.run(until: 1_000)
        #expect(world.verdicts.count <= before + 1)
        let told = world.verdicts.map { "\(Int($0.time)) \($0.verdict)" }
        #expect(world.standing(4) == .active, "\(told)")
    }

    @Test("SW13: 30 % of the nodes that accuse all others falsely put nobody out")
    func sw13FalseAccusers() throws {
        for seed in 1...2 as ClosedRange<UInt64> {
            let world = try World(13, seed: seed, hasStore: true)
            world.liars = [1, 5, 9, 12]
            world.run(until: 400)
            #expect(world.verdicts.isEmpty, "seed \(seed)")
        }
    }

    @Test("SW13: blindness counts per tester: one that is blind for storage accuses by paths, and the reverse")
    func sw13BlindOfOne() throws {
        let world = try World(10, seed: 2, hasStore: true)
        world.run(until: 10)
        func tester(_ failing: [Int]) -> Tester {
            var tester = Tester(
                timing: StorageTiming(epochSeconds: 30, judging: .seconds(60)).tester, seed: 1, now: instant(0))
            tester.follow(world.ids.filter { $0 != world.ids[0] })
            for second in 0..<600 {
                while let next = tester.next(instant(Double(second) / 10)) {
                    let isBad = failing.contains { world.ids[$0] == next }
                    tester.finished(
                        next, isBad ? .failed : .passed(capacity: nil), at: .first(mayHide: false),
                        now: instant(Double(second) / 10))
                }
            }
            return tester
        }
        let (good, one, many) = (tester([]), tester([3]), tester([3, 4, 5, 6, 7]))
        #expect(one.isDead(world.ids[3], now: instant(60)) && many.isBlind(among: { _ in true }, now: instant(60)))
        func accused(_ paths: Tester, _ storage: Tester?) -> [NodeID] {
            var jury = Jury(node: world.ids[0], patience: .seconds(4), silence: .seconds(60))
            jury.follow(world.state, now: instant(60))
            return jury.consider(paths, storage: storage, now: instant(60)).compactMap {
                if case .ask(let ballot, _) = $0 { ballot.node } else { nil }
            }
        }
        #expect(accused(good, nil) == [] && accused(good, good) == [])
        #expect(accused(good, one) == [world.ids[3]] && accused(one, good) == [world.ids[3]])
        #expect(accused(good, many) == [] && accused(many, good) == [])
        #expect(accused(many, one) == [world.ids[3]] && accused(one, many) == [world.ids[3]])
    }
}

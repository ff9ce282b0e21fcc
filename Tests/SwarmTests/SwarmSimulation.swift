import Glibc
import SeededRandom
import Swarm
import SwarmModel
import Testing
import Wire

/// Clients that store and delete in a network with faults, and checks of the final state.
final class SwarmSimulation {
    struct Plan {
        var nodes = 7
        var swarmSize = 5
        var liars: [Int: Liar.Kind] = [:]
        var conditions = SwarmNetwork.Conditions()
        var skew: Int64 = 0
        /// The minutes in which clients store and faults happen.
        var minutes = 40
        /// The minutes from one client's action to the next.
        var pace = 1
        /// The percentage of minutes in which a node is killed; it is back after 1 to 20 minutes.
        var kills = 0
        /// The minutes between two losses of a disk; 0: never.
        var diskLoss = 0
        /// The minutes after which a node gets back the disk that it had as long ago; 0: never.
        var restores = 0
        /// The percentage of minutes in which the disk of a node spoils an item.
        var rot = 0
        /// The minutes between two partitions, in which a third of the nodes is cut off for half of the time; 0: never.
        var partitions = 0
        /// The minutes between two snapshots with a node more or less; 0: never.
        var change = 0
    }

    private struct State: Hashable {
        let id: ItemID
        let isDeleted: Bool
    }

    /// An item with receipts of a majority.
    private struct Stored {
        let item: StoredItem
        let box: Int
        let number: UInt64
    }

    let world: SwarmNetwork
    private let plan: Plan
    private let boxes: [Box]
    private var stored: [ItemID: Stored] = [:]
    /// The items that clients asked to delete, and the items that a majority has deleted.
    private var touched: Set<ItemID> = []
    private var deleted: Set<ItemID> = []
    /// The versions that clients tried to store; each may have replaced older ones.
    private var attempted: [StoredItem] = []
    private var nextNumber: UInt64 = 1
    private var backup: (index: Int, disk: MemoryStorage)?
    private(set) var storeCount = 0
    private(set) var failureCount = 0

    init(seed: UInt64, _ plan: Plan) {
        self.plan = plan
        world = SwarmNetwork(
            seed: seed, nodes: plan.nodes, swarmSize: plan.swarmSize, liars: plan.liars, skew: plan.skew)
        world.conditions = plan.conditions
        boxes = (0..<6).map { Box(Key(100 + $0)) }
    }

    /// Runs the plan, and then a time without faults.
    func run() {
        for minute in 1...plan.minutes {
            if minute % plan.pace == 0 { act() }
            if world.random.happens(plan.kills) { kill(losesDisk: false) }
            if plan.rot > 0, world.random.happens(plan.rot),
                let index = world.honest.randomElement(using: &world.random)
            {
                world.spoil(index)
            }
            if plan.diskLoss > 0, minute % plan.diskLoss == 0 { kill(losesDisk: true) }
            if plan.restores > 0, minute % plan.restores == 0 { restore() }
            if plan.partitions > 0 { partition(minute % plan.partitions) }
            if plan.change > 0, minute % plan.change == 0 { change() }
            if minute % 15 == 0 { world.bringBack() }
            world.run(minutes: 1)
        }
        world.conditions = SwarmNetwork.Conditions()
        world.cutOff = []
        for _ in 0..<3 {
            world.publish()
            world.run(minutes: 20)
            world.bringBack()
            world.isFed = false
        }
        world.run(minutes: 20)
    }

    private func act() {
        let box = Int.random(in: boxes.indices, using: &world.random)
        let older = stored.filter { !touched.contains($0.key) }.keys.sorted()
        if world.random.happens(25), let id = older.randomElement(using: &world.random) { return delete(id) }
        let number = nextNumber
        nextNumber += 1
        let minute = UInt32(world.now / 60_000)
        let item =
            switch Int.random(in: 0..<6, using: &world.random) {
            case 0: boxes[box].contact(number, created: minute)
            case 1:
                boxes[box].record(
                    name("r\(number % 3)"), created: minute, counter: UInt8(number % 7), content: [UInt8(number & 255)])
            default: boxes[box].message(number, created: minute)
            }
        if item.version != nil { attempted.append(item) }
        store(item, box, number, attempts: 3)
    }

    private func store(_ item: StoredItem, _ box: Int, _ number: UInt64, attempts: Int) {
        guard attempts > 0, let view = world.recentViews.prefix(2).randomElement(using: &world.random),
            let coordinator = world.coordinator(of: boxes[box].id, view)
        else { return failureCount += 1 }
        world.request(coordinator, .store(height: view.height, item)) { [self] answer in
            if case .stored(let height, let receipts)? = answer,
                world.isStored(item.id, box: boxes[box].id, height, receipts)
            {
                stored[item.id] = Stored(item: item, box: box, number: number)
                storeCount += 1
            } else if case .refused(.superseded)? = answer {
                return
            } else {
                store(item, box, number, attempts: attempts - 1)
            }
        }
    }

    private func delete(_ id: ItemID) {
        guard let entry = stored[id], entry.item.header.kind.isDeletable,
            let coordinator = world.coordinator(of: boxes[entry.box].id, world.view)
        else { return }
        touched.insert(id)
        let box = boxes[entry.box]
        let proof: DeleteProof =
            entry.item.header.kind == .message && world.random.happens(50)
            ? .token(Box.token(entry.number)) : box.proof(of: id)
        world.request(coordinator, .delete(box: box.id, [.init(id: id, proof: proof)])) { [self] answer in
            if case .deleted(1, let replicas)? = answer, Int(replicas) >= world.view.map.majority { deleted.insert(id) }
        }
    }

    private func kill(losesDisk: Bool) {
        guard let index = world.honest.randomElement(using: &world.random) else { return }
        world.crash(index, losesDisk: losesDisk)
        world.after(UInt64.random(in: 60_000...1_200_000, using: &world.random)) { [self] in world.start(index) }
    }

    /// Puts an older disk back, and keeps the disk of another node for the next time.
    private func restore() {
        if let backup, world.replica(backup.index) != nil {
            world.crash(backup.index)
            world.restore(backup.index, backup.disk)
            world.start(backup.index)
        }
        backup = world.honest.randomElement(using: &world.random).map { ($0, world.backup($0)) }
    }

    private func partition(_ minute: Int) {
        if minute == 0 {
            world.cutOff = Set((0..<world.count).filter { _ in world.random.happens(33) })
        } else if minute == plan.partitions / 2 {
            world.cutOff = []
        }
    }

    /// A node joins, or leaves the snapshots but stays up as long as it is needed.
    private func change() {
        let listed = world.honest
        if world.random.happens(50) || listed.count <= plan.swarmSize + 1 {
            _ = world.join()
        } else if let index = listed.randomElement(using: &world.random) {
            world.setListed(index, false)
        }
        world.publish()
    }

    // MARK: Invariants

    /// Whether another version may have replaced an item.
    private func isReplaced(_ entry: Stored) -> Bool {
        guard let version = entry.item.version else { return false }
        return attempted.contains { other in
            other.header.box == entry.item.header.box && other.version?.name == version.name
                && other.id != entry.item.id
                && (other.header.created, other.version?.counter ?? 0) >= (entry.item.header.created, version.counter)
        }
    }

    func check(_ note: String) {
        let honest = world.honest
        #expect(storeCount > plan.minutes / plan.pace / 3, "\(note): clients can store; \(failureCount) failed")
        for (id, entry) in stored where !touched.contains(id) && !isReplaced(entry) {
            let shard = world.view.map.shard(of: entry.item.header.box)
            let holders = honest.filter { world.view.map.position(of: world.id($0), in: shard) != nil }
            let having = holders.filter { world.replica($0)?.storage.entry(id)?.isDeleted == false }
            #expect(
                having == holders, "\(note): \(entry.item.header.kind) \(entry.number) is held by all honest replicas")
        }
        for id in deleted {
            for index in honest {
                #expect(
                    world.replica(index)?.storage.entry(id)?.isDeleted != false, "\(note): what is deleted stays so")
            }
        }
        agree(honest, note)
        for index in honest {
            guard let replica = world.replica(index) else { continue }
            for shard in world.view.map.shards(of: world.id(index)) {
                #expect(replica.isComplete(shard), "\(note): node \(index) is complete in shard \(shard)")
            }
        }
        for index in 0..<world.count where !world.isListed(index) && !world.isLiar(index) {
            #expect(world.replica(index)?.shards.isEmpty ?? true, "\(note): node \(index) is let go")
        }
    }

    /// Checks that all honest replicas of a shard hold the same items.
    private func agree(_ honest: [Int], _ note: String) {
        for shard in 0..<UInt16(world.view.map.shardCount) {
            let holders = honest.filter { world.view.map.position(of: world.id($0), in: shard) != nil }
            let sets = holders.map { index in
                let entries = world.replica(index)?.storage.allEntries.filter { $0.range.shard == shard } ?? []
                return Set(entries.map { State(id: $0.id, isDeleted: $0.isDeleted) })
            }
            #expect(Set(sets).count <= 1, "\(note): shard \(shard) is the same everywhere: \(sets.map(\.count))")
        }
    }
}

/// A number from an environment variable, or a default.
func setting(_ name: String, _ standard: Int) -> Int {
    guard let text = unsafe getenv(name) else { return standard }
    return unsafe Int(String(cString: text)) ?? standard
}

/// Whole swarms, by seed.
///
/// `SWARM_SEEDS=200 SWARM_FIRST=1 SWARM_MINUTES=600 SWARM_NODES=20` runs larger swarms.
@Suite struct SwarmSimulationTests {
    private func run(_ note: String, _ plan: SwarmSimulation.Plan) {
        let first = setting("SWARM_FIRST", 1)
        for seed in first..<first + setting("SWARM_SEEDS", 1) {
            var plan = plan
            plan.minutes = setting("SWARM_MINUTES", plan.minutes)
            plan.nodes = setting("SWARM_NODES", plan.nodes)
            let simulation = SwarmSimulation(seed: UInt64(seed), plan)
            simulation.run()
            simulation.check("\(note), seed \(seed)")
        }
    }

    private func bad(_ plan: SwarmSimulation.Plan = .init()) -> SwarmSimulation.Plan {
        var plan = plan
        plan.conditions.loss = 10
        plan.conditions.doubles = 10
        plan.conditions.delay = 300
        return plan
    }

    @Test("SW4, SW9: loss, delay, doubles, reordering, clocks that differ")
    func sw4Loss() {
        var plan = bad()
        plan.skew = 240_000
        run("loss", plan)
    }

    @Test("SW4, SW11: kills, with and without the disk")
    func sw11Kills() {
        var plan = bad()
        plan.kills = 10
        plan.diskLoss = 30
        run("kills", plan)
    }

    @Test("SW11: disks that spoil items")
    func sw11Damage() {
        var plan = bad()
        plan.rot = 60
        run("damage", plan)
    }

    @Test("SW10: joins and leaves")
    func sw10Changes() {
        var plan = bad()
        plan.change = 20
        run("changes", plan)
    }

    @Test("SW4, SW9: partitions, and old disks that are put back")
    func sw9Partitions() {
        var plan = SwarmSimulation.Plan()
        plan.partitions = 20
        plan.restores = 15
        run("partitions", plan)
    }

    @Test("SW10: joins and leaves beside a liar of each kind, if there is time for them", arguments: Liar.Kind.allCases)
    func sw10ChangesWithLiars(kind: Liar.Kind) {
        guard setting("SWARM_SEEDS", 0) > 0 || kind == .feeds else { return }
        var plan = SwarmSimulation.Plan()
        plan.minutes = 24
        plan.change = 10
        plan.diskLoss = 15
        plan.liars = [2: kind]
        run("changes, \(kind)", plan)
    }

    /// A new item each minute keeps digests of whole shards different all the time.
    @Test("SW10: a peer that brings an item a minute keeps nobody from joining or leaving")
    func sw10Fed() {
        let world = SwarmNetwork(seed: 1, nodes: 5, swarmSize: 5, liars: [0: .feeds])
        world.run(minutes: 5)
        // One node loses its disk and begins anew.
        world.crash(1, losesDisk: true)
        world.start(1)
        world.run(minutes: 45)
        let shards = world.view.map.shards(of: world.id(1))
        #expect(shards.allSatisfy { world.replica(1)?.isComplete($0) == true })
        for index in [2] { world.setListed(index, false) }
        _ = world.join()
        for _ in 0..<3 {
            world.publish()
            world.run(minutes: 2)
        }
        world.run(minutes: 120)
        #expect(world.replica(2)?.shards == [])
    }

    @Test("SW2, SW4, SW12: a liar of each kind", arguments: Liar.Kind.allCases)
    func sw12Liars(kind: Liar.Kind) {
        var plan = SwarmSimulation.Plan()
        plan.minutes = 12
        plan.liars = [2: kind]
        run("\(kind)", plan)
    }
}

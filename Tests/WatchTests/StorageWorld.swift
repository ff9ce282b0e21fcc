import OnionCrypto
import SeededRandom
import Swarm
import SwarmModel
import Watch
import Wire

/// Nodes with real replicas that test each other's storage on a virtual clock; some of them cheat.
///
/// Requests take the place of onion requests: one that is lost, or whose target is down or cut off, has no answer.
///
/// It has more members than most types: the testers, what they keep, and the faults.
final class StorageWorld {
    static let epoch: UInt64 = 3_600
    /// The seconds between two ticks of a tester.
    private static let tick: UInt64 = 30

    let net: SwarmNetwork
    private(set) var testers: [StorageTests] = []
    private var kept: [[NodeID: TestBox]]
    private var places: [NodeID: Int] = [:]
    private var items: [Bytes32: StoredItem] = [:]
    /// The nodes to which each item was handed first, by box.
    private var coordinators: [Bytes32: Int] = [:]
    private let start: UInt64
    private var timing: StorageTiming
    private let seed: UInt64
    private var lives: [Int]
    /// Whether a cheat drops an item; `isOwn`: the item was handed to it, not brought as a copy.
    var drops: [Int: (_ item: StoredItem, _ isOwn: Bool) -> Bool] = [:]
    /// What a cheat answers in place of its replica; nil: its replica answers.
    var lies: [Int: (_ isStore: Bool) -> Lie?] = [:]
    /// The percentage of requests that are lost.
    var loss = 0
    /// Whether nodes count as serving because they were reached once.
    var remembers = false
    /// Nodes that list items and do not give them out.
    var bodiless: Set<Int> = []
    /// Nodes to which nobody has a path.
    var pathless: Set<Int> = []
    /// Testers whose requests all fail.
    var blind: Set<Int> = []
    /// The nodes that some tester found dead, by tested node.
    private(set) var everDead: [Int: Set<Int>] = [:]
    /// The items that were stored as tests.
    var testItems: [StoredItem] { items.keys.sorted().compactMap { items[$0] } }
    /// The boxes that each node was asked to list, in order.
    private(set) var listed: [Int: [Bytes32]] = [:]

    enum Lie {
        case silence
        case refusal(StoreRefusal)
        /// An empty box of a node that is out of date.
        case outOfDate
    }

    init(seed: UInt64, nodes count: Int, swarmSize: Int = 5, storeInterval: TimeSpan? = nil) {
        self.seed = seed
        timing = StorageTiming(epochSeconds: Self.epoch, judging: .seconds(7_200))
        if let storeInterval { timing.storeInterval = storeInterval }
        net = SwarmNetwork(seed: seed, nodes: count, swarmSize: swarmSize)
        start = net.now
        kept = [[NodeID: TestBox]](repeating: [:], count: count)
        lives = [Int](repeating: 0, count: count)
        net.run(minutes: 3)
        for index in 0..<count {
            places[net.id(index)] = index
            testers.append(tester(index))
            follow(index)
            net.after(UInt64.random(in: 1...Self.tick * 1_000, using: &net.random)) { [self] in tickLater(index) }
        }
    }

    var now: Instant { Instant(nanoseconds: (net.now - start) * 1_000_000) }
    private var time: UnixTime { UnixTime(seconds: net.now / 1_000) }

    private func tester(_ index: Int) -> StorageTests {
        StorageTests(
            network: SwarmModel.network, node: net.id(index),
            timing: timing, boxes: kept[index],
            random: SeededRandom.SeededGenerator(
                seed: seed &* 1_000 &+ UInt64(index) &+ UInt64(lives[index]) &* 77_003),
            now: now)
    }

    /// Restarts a tester, which knows only what it has kept.
    func restart(_ index: Int) {
        lives[index] += 1
        testers[index] = tester(index)
        follow(index)
    }

    /// Makes all testers that are up follow the newest map.
    func followAll() {
        for index in net.nodesCount where places[net.id(index)] == nil {
            places[net.id(index)] = index
            kept.append([:])
            lives.append(0)
            testers.append(tester(index))
            tickLater(index)
        }
        for index in testers.indices { follow(index) }
    }

    private func follow(_ index: Int) {
        perform(testers[index].watch(net.view.map.allNodes, now: now), by: index)
        perform(testers[index].follow(net.view, now: now), by: index)
    }

    private func tickLater(_ index: Int) {
        net.after(Self.tick * 1_000) { [self] in tickLater(index) }
        guard net.replica(index) != nil else { return }
        perform(testers[index].tick(serves: { serves($0, since: $1, to: index) }, now: now, time: time), by: index)
        for other in testers.indices where testers[index].tester.isDead(net.id(other), now: now) {
            everDead[other, default: []].insert(index)
        }
    }

    /// Whether tests of paths would say that a node serves; without a moment, by tests of long ago if `remembers`.
    private func serves(_ node: NodeID, since moment: Instant?, to index: Int) -> Bool {
        places[node].map { moment == nil && remembers || isReached($0, from: index) } ?? false
    }

    private func isReached(_ other: Int, from index: Int) -> Bool {
        net.replica(other) != nil && net.cutOff.contains(other) == net.cutOff.contains(index)
    }

    private func perform(_ actions: [StorageTests.Action], by index: Int) {
        for action in actions {
            switch action {
            case .keep(let node, let box): kept[index][node] = box
            case .forget(let node): kept[index][node] = nil
            case .find(let test, let map, let node):
                let drawn = TestBox.draw(in: map, for: node, using: &net.random)
                let life = lives[index]
                net.after(100) { [self] in
                    guard lives[index] == life else { return }
                    perform(
                        testers[index].found(
                            test, drawn, serves: { serves($0, since: $1, to: index) }, now: now, time: time), by: index)
                }
            case .ask(let question): ask(question, by: index)
            case .testPaths: break
            }
        }
    }

    private func ask(_ question: StorageTests.Question, by index: Int) {
        let life = lives[index]
        var bindings = ByteWriter(capacity: 32)
        for _ in 0..<4 { bindings.u64(net.random.next()) }
        let binding = Bytes32(copying: bindings.bytes.rawSpan)
        func answer(_ answer: StoreAnswer?) {
            guard lives[index] == life else { return }
            perform(
                testers[index].answered(
                    question.number, answer, binding: binding, serves: { serves($0, since: $1, to: index) }, now: now,
                    time: time), by: index)
        }
        if places[question.node].map(pathless.contains) == true {
            return net.after(100) { [self] in
                guard lives[index] == life else { return }
                perform(
                    testers[index].unasked(
                        question.number, serves: { serves($0, since: $1, to: index) }, now: now, time: time), by: index)
            }
        }
        guard let other = places[question.node], isReached(other, from: index), !net.random.happens(loss),
            !blind.contains(index),
            let request = try? StoreRequest(
                method: Self.number(of: question), arguments: question.arguments(binding).rawSpan,
                network: SwarmModel.network)
        else { return net.after(10_000) { answer(nil) } }
        if case .store(_, let item) = request {
            items[question.box] = item
            if coordinators[question.box] == nil { coordinators[question.box] = other }
        } else if case .list = question.method {
            listed[other, default: []].append(question.box)
        }
        if case .fetch = question.method, bodiless.contains(other) {
            return net.after(100) { answer(.items([])) }
        }
        if let lie = lies[other]?(question.method == .store) {
            switch lie {
            case .silence: return net.after(10_000) { answer(nil) }
            case .refusal(let refusal): return net.after(100) { answer(.refused(refusal)) }
            case .outOfDate where question.method != .store:
                return net.after(100) { answer(Self.empty(isOutOfDate: true)) }
            case .outOfDate: break
            }
        }
        if question.method != .store, let item = items[question.box],
            drops[other]?(item, coordinators[question.box] == other) == true
        {
            return net.after(100) { answer(Self.empty(isOutOfDate: false)) }
        }
        net.request(other, request, binding: binding) { answer($0) }
    }

    private static func number(of question: StorageTests.Question) -> UInt8 {
        switch question.method {
        case .store: 1
        case .fetch: 4
        case .list, .delete, .lookup: 3
        }
    }

    /// The answer to LIST that shows nothing.
    private static func empty(isOutOfDate: Bool) -> StoreAnswer? {
        var writer = ByteWriter(capacity: 12)
        writer.u8(0)
        writer.u64(7)
        writer.u8(isOutOfDate ? 1 : 0)
        writer.u16(0)
        return try? StoreAnswer(decoding: writer.bytes.rawSpan, to: .list)
    }

    /// Whether an item of a box was handed first to this node.
    func coordinator(of box: Bytes32, is index: Int) -> Bool { coordinators[box] == index }

    /// How many boxes are kept of nodes that are not in the box's swarm.
    var strayBoxes: Int {
        kept.flatMap(\.self).count {
            net.view.map.position(of: $0.key, in: net.view.map.shard(of: $0.value.key)) == nil
        }
    }

    /// Whether a node keeps a box of another.
    func keeps(_ index: Int, boxOf other: Int) -> Bool { kept[index][net.id(other)] != nil }

    /// A node asks a tester to test another soon.
    func expedite(_ node: Int, at index: Int, for sender: Int) {
        testers[index].expedite(net.id(node), for: net.id(sender), now: now)
    }
}

extension SwarmNetwork {
    /// The indices of all nodes that ever were.
    var nodesCount: Range<Int> { 0..<count }
}

internal import OnionCrypto
public import Swarm
public import Wire

/// Tests whether other nodes keep what they have signed for (docs/protocol.md, section 11.7).
///
/// It acts as clients do, and does no I/O: actions come out, and their results come back with the time. For each other
/// node it keeps a box in one of that node's shards, with an item for which the node has signed. A test asks the node
/// for the item, and stores a new one in another box if it is there. The results go to a ``Tester``.
///
/// It has more members than most types: the boxes, the tests and questions under way, and the times of the next ones.
public struct StorageTests: Sendable {
    private let network: Bytes32
    private let node: NodeID
    private let timing: StorageTiming
    /// The results.
    public private(set) var tester: Tester
    private var random: any RandomNumberGenerator & Sendable
    private var view: SwarmView?
    private var viewSince: Instant
    private var boxes: [NodeID: TestBox]
    /// When this node first saw that a node is in the swarm of its box.
    private var entered: [NodeID: Instant] = [:]
    private var tests: [UInt64: StorageTest] = [:]
    private var questions: [UInt64: (test: UInt64, node: NodeID)] = [:]
    private var last: UInt64 = 0
    /// The nodes that have to take the next item themselves: the last one failed.
    private var owing: Set<NodeID> = []
    private var nextStore: Instant
    /// When the next node without a box may be tested out of turn.
    private var nextPlacing: Instant
    /// The results so far.
    public private(set) var counts = Counts()

    /// The tests of `node`, which has kept these boxes.
    public init(
        network: Bytes32, node: NodeID, timing: StorageTiming, boxes: [NodeID: TestBox],
        random: any RandomNumberGenerator & Sendable, now: Instant
    ) {
        (self.network, self.node, self.timing, self.boxes) = (network, node, timing, boxes)
        self.random = random
        tester = Tester(timing: timing.tester, seed: self.random.next(), now: now + timing.tester.interval)
        viewSince = now
        nextStore = now
        nextPlacing = now
    }

    /// How many nodes have a box of this node.
    public var boxCount: Int { boxes.count }

    // MARK: The nodes

    /// Continues with a newer map; boxes of nodes that are not in their swarms are forgotten.
    public mutating func follow(_ view: SwarmView, now: Instant) -> [Action] {
        guard view.height > self.view?.height ?? 0 || self.view == nil else { return [] }
        (self.view, viewSince) = (view, now)
        var actions: [Action] = []
        for (other, box) in boxes.sorted(by: { $0.key < $1.key }) {
            guard view.map.position(of: other, in: view.map.shard(of: box.key)) == nil else {
                entered[other] = entered[other] ?? now
                continue
            }
            actions += forget(other)
        }
        for (number, test) in tests.sorted(by: { $0.key < $1.key }) where !isUsable(test, in: view.map) {
            skip(number, now)
        }
        return actions
    }

    private func isUsable(_ test: StorageTest, in map: SwarmMap) -> Bool {
        if case .accepting(let acceptance) = test.stage {
            guard map.position(of: test.node, in: map.shard(of: acceptance.key)) != nil else { return false }
        }
        return test.box == nil || boxes[test.node] == test.box
    }

    /// Watches these nodes from now on, except itself.
    public mutating func watch(_ nodes: [NodeID], now: Instant) -> [Action] {
        tester.follow(nodes.filter { $0 != node })
        let left = Set(boxes.keys).subtracting(nodes)
        return left.sorted().flatMap { forget($0) }
    }

    private mutating func forget(_ node: NodeID) -> [Action] {
        boxes[node] = nil
        entered[node] = nil
        owing.remove(node)
        return [.forget(node)]
    }

    /// Tests `node` soon, at the request of `sender`.
    public mutating func expedite(_ node: NodeID, for sender: NodeID, now: Instant) {
        tester.expedite(node, for: sender, now: now)
    }

    /// The node is active again: only tests from now on can make it dead, and one follows soon.
    public mutating func returned(_ node: NodeID, now: Instant) { tester.returned(node, now: now) }

    /// Ends all tests without a result, because this node stood still.
    public mutating func void(now: Instant) {
        for number in tests.keys.sorted() { skip(number, now) }
    }

    // MARK: Tests

    /// Begins what is due; to be called once a second or more often.
    ///
    /// `serves` says of a node whether it passes the tests of paths: others are not tested here.
    public mutating func tick(serves: (NodeID) -> Bool, now: Instant, time: UnixTime) -> [Action] {
        guard let map = view?.map else { return [] }
        var actions: [Action] = []
        for (number, test) in tests.sorted(by: { $0.key < $1.key }) {
            guard case .pause(let until) = test.stage, until <= now, let box = test.box else { continue }
            tests[number]?.stage = .again
            actions.append(list(box, at: test.node, for: number))
        }
        if nextPlacing <= now, mayStore(now), let other = placeless(map) {
            nextPlacing = now + timing.storeInterval
            tester.expedite(other, for: node, now: now)
        }
        while let next = tester.next(now) { actions += begin(next, map, serves: serves, now, time) }
        return actions
    }

    /// A node of the map without a box, at random.
    private mutating func placeless(_ map: SwarmMap) -> NodeID? {
        let all = map.allNodes
        guard all.count > 1, boxes.count < all.count else { return nil }
        let start = Int.random(in: all.indices, using: &random)
        for index in start..<start + all.count {
            let other = all[index % all.count]
            if other != node, boxes[other] == nil, !tests.values.contains(where: { $0.node == other }) { return other }
        }
        return nil
    }

    private mutating func begin(
        _ tested: NodeID, _ map: SwarmMap, serves: (NodeID) -> Bool, _ now: Instant, _ time: UnixTime
    ) -> [Action] {
        guard map.contains(tested), serves(tested) else {
            tester.skipped(tested, now: now)
            return []
        }
        last += 1
        let box = boxes[tested].flatMap { age(of: $0, time) > timing.mostAge ? nil : $0 }
        tests[last] = StorageTest(node: tested, began: now, box: box, stage: .first)
        guard let box else {
            guard mayStore(now) else {
                skip(last, now)
                return []
            }
            return find(last, map, now)
        }
        guard age(of: box, time) >= timing.leastAge else {
            skip(last, now)
            return []
        }
        return [list(box, at: tested, for: last)]
    }

    private func age(of box: TestBox, _ time: UnixTime) -> UInt64 {
        time < box.stored ? 0 : time.seconds - box.stored.seconds
    }

    private mutating func skip(_ number: UInt64, _ now: Instant) {
        guard let test = tests.removeValue(forKey: number) else { return }
        questions = questions.filter { $0.value.test != number }
        tester.skipped(test.node, now: now)
    }

    private mutating func finish(_ number: UInt64, _ outcome: TestOutcome, _ now: Instant) {
        guard let test = tests.removeValue(forKey: number) else { return }
        questions = questions.filter { $0.value.test != number }
        tester.finished(test.node, outcome, at: .first(mayHide: false), now: now)
    }

    private mutating func list(_ box: TestBox, at other: NodeID, for test: UInt64) -> Action {
        let swarm = view.map { $0.map.swarm($0.map.shard(of: box.key)) } ?? []
        return ask(other, for: test, box: box.key, seed: box.seed, swarm: swarm, store: nil)
    }

    private mutating func ask(
        _ other: NodeID, for test: UInt64, box: Bytes32, seed: Bytes32, swarm: [NodeID],
        store: (height: UInt64, item: StoredItem)?
    ) -> Action {
        last += 1
        questions[last] = (test, other)
        return .ask(
            Question(
                number: last, node: other, box: box, swarm: swarm, seed: seed, store: store, network: network))
    }

    // MARK: Answers

    /// The answer to a question, or nil if there is none.
    ///
    /// `binding` is that of the request. `serves` says of a node whether it passes the tests of paths.
    public mutating func answered(
        _ number: UInt64, _ answer: StoreAnswer?, binding: Bytes32, serves: (NodeID) -> Bool, now: Instant,
        time: UnixTime
    ) -> [Action] {
        guard let question = questions.removeValue(forKey: number), let test = tests[question.test],
            let map = view?.map
        else { return [] }
        switch test.stage {
        case .first:
            guard let box = test.box else { return [] }
            return looked(question.test, sight(of: box, at: test.node, answer, binding, now), box, map, now)
        case .others(let asked, let showing):
            guard let box = test.box else { return [] }
            let isShown = sight(of: box, at: test.node, answer, binding, now) == .shown
            return compared(question.test, asked - 1, showing + (isShown ? 1 : 0), map, now)
        case .again:
            guard let box = test.box else { return [] }
            return lookedAgain(question.test, sight(of: box, at: test.node, answer, binding, now), map, now)
        case .accepting(var acceptance):
            acceptance.take(answer, from: question.node, isKnown: now - viewSince >= timing.settling)
            return proceed(question.test, &acceptance, serves: serves, now, time)
        case .pause, .finding: return []
        }
    }

    /// What an answer to LIST shows of the item in a box.
    private func sight(
        of box: TestBox, at node: NodeID, _ answer: StoreAnswer?, _ binding: Bytes32, _ now: Instant
    ) -> StorageTest.Sight {
        switch answer {
        case .listed(let listing):
            let short = ShortID.of(box.id, binding: binding)
            if listing.entries.contains(where: { $0.shortID == short }) { return .shown }
            // By the snapshots, not by the node's word.
            let isJoining = entered[node].map { now - $0 < timing.joining } ?? true
            return listing.isOutOfDate && isJoining ? .unclear : .missing
        case .refused(let refusal):
            return refusal.isNoFault(isKnown: now - viewSince >= timing.settling) ? .unclear : .missing
        case nil: return .silent
        case .stored, .deleted, .items: return .missing
        }
    }

    private mutating func looked(
        _ number: UInt64, _ sight: StorageTest.Sight, _ box: TestBox, _ map: SwarmMap, _ now: Instant
    ) -> [Action] {
        switch sight {
        case .shown:
            counts.retention.passed += 1
            return renew(number, map, now)
        case .missing: return compare(number, box, map)
        case .silent:
            // A node that cannot be reached shows nothing; one that stores meanwhile keeps the item from its reader.
            tests[number]?.isSilent = true
            guard mayStore(now) else {
                counts.retention.unclear += 1
                finish(number, .unclear, now)
                return []
            }
            return find(number, map, now)
        case .unclear:
            counts.retention.unclear += 1
            finish(number, .unclear, now)
            return []
        }
    }

    /// Asks the other replicas for the item of a box.
    private mutating func compare(_ number: UInt64, _ box: TestBox, _ map: SwarmMap) -> [Action] {
        guard let tested = tests[number]?.node else { return [] }
        let others = map.swarm(map.shard(of: box.key)).filter { $0 != tested }
        tests[number]?.stage = .others(asked: others.count, showing: 0)
        return others.map { list(box, at: $0, for: number) }
    }

    private mutating func compared(
        _ number: UInt64, _ asked: Int, _ showing: Int, _ map: SwarmMap, _ now: Instant
    ) -> [Action] {
        if showing >= map.majority {
            questions = questions.filter { $0.value.test != number }
            let end = now + timing.pause
            tests[number]?.stage = .pause(until: end)
        } else if asked > 0 {
            tests[number]?.stage = .others(asked: asked, showing: showing)
        } else {
            counts.retention.unclear += 1
            finish(number, .unclear, now)
        }
        return []
    }

    private mutating func lookedAgain(
        _ number: UInt64, _ sight: StorageTest.Sight, _ map: SwarmMap, _ now: Instant
    ) -> [Action] {
        switch sight {
        case .shown:
            counts.retention.passed += 1
            return renew(number, map, now)
        case .missing: break
        // Where the node had answered before, only an answer counts.
        case .silent where tests[number]?.isSilent == true: break
        case .silent, .unclear:
            counts.retention.unclear += 1
            finish(number, .unclear, now)
            return []
        }
        counts.retention.failed += 1
        finish(number, .failed, now)
        return []
    }

    // MARK: New items

    /// Whether a new item may be stored now.
    private func mayStore(_ now: Instant) -> Bool {
        nextStore <= now + timing.storeInterval * (StorageTiming.storesAtOnce - 1)
    }

    /// Stores a new item in place of one that was shown; without a place for it, the test is passed as it is.
    ///
    /// A quarter of the items stay, so that a node that has shown an item is asked for it again.
    private mutating func renew(_ number: UInt64, _ map: SwarmMap, _ now: Instant) -> [Action] {
        guard let tested = tests[number]?.node else { return [] }
        let owes = owing.contains(tested)
        guard mayStore(now), owes || !random.next().isMultiple(of: 4) else {
            finish(number, owes ? .unclear : .passed(capacity: nil), now)
            return []
        }
        return find(number, map, now)
    }

    private mutating func find(_ number: UInt64, _ map: SwarmMap, _ now: Instant) -> [Action] {
        guard let tested = tests[number]?.node else { return [] }
        nextStore = max(nextStore, now) + timing.storeInterval
        tests[number]?.stage = .finding
        return [.find(test: number, map, tested)]
    }

    /// The key of a box in a shard of the tested node, and its seed; nil: none was found.
    public mutating func found(
        _ number: UInt64, _ drawn: (key: Bytes32, seed: Bytes32)?, serves: (NodeID) -> Bool, now: Instant,
        time: UnixTime
    ) -> [Action] {
        guard let test = tests[number], case .finding = test.stage, let view else { return [] }
        let swarm = drawn.map { view.map.swarm(view.map.shard(of: $0.key)) } ?? []
        guard let drawn, swarm.contains(test.node),
            let item = TestBox.item(key: drawn.key, seed: drawn.seed, at: time, network: network, using: &random)
        else {
            skip(number, now)
            return []
        }
        // A node that has refused an item, or hides one, must take this one itself.
        let isDirect = owing.contains(test.node) || test.isSilent || Bool.random(using: &random)
        var acceptance = Acceptance(
            item, key: drawn.key, seed: drawn.seed, height: view.height, swarm: swarm, tested: test.node,
            others: swarm.filter { $0 != test.node }.shuffled(using: &random), startsWithOther: !isDirect,
            network: network)
        return proceed(number, &acceptance, serves: serves, now, time)
    }

    private mutating func proceed(
        _ number: UInt64, _ acceptance: inout Acceptance, serves: (NodeID) -> Bool, _ now: Instant, _ time: UnixTime
    ) -> [Action] {
        guard let test = tests[number], let map = view?.map else { return [] }
        switch acceptance.next() {
        case .ask(let other):
            tests[number]?.stage = .accepting(acceptance)
            return [
                ask(
                    other, for: number, box: acceptance.key, seed: acceptance.seed, swarm: acceptance.swarm,
                    store: (acceptance.height, acceptance.item))
            ]
        case .accepted:
            counts.acceptance.passed += 1
            owing.remove(test.node)
            if test.isSilent, let box = test.box { return compare(number, box, map) }
            let box = TestBox(key: acceptance.key, seed: acceptance.seed, id: acceptance.item.id, stored: time)
            boxes[test.node] = box
            entered[test.node] = now
            finish(number, .passed(capacity: nil), now)
            return [.keep(test.node, box)]
        // Whether a node can be reached is for the tests of paths to say.
        case .failed(let isSilent) where !isSilent || serves(test.node):
            counts.acceptance.failed += 1
            owing.insert(test.node)
            finish(number, .failed, now)
        case .failed, .unclear:
            counts.acceptance.unclear += 1
            let isShown = test.box != nil && !test.isSilent && !owing.contains(test.node)
            finish(number, isShown ? .passed(capacity: nil) : .unclear, now)
        }
        return []
    }
}

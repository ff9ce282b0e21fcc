// One file: the steps of a test share its private state.

internal import OnionCrypto
public import Swarm
public import Wire

/// Tests whether other nodes keep what they have signed for (docs/protocol.md, section 11.4).
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
    private var questions: [UInt64: (test: UInt64, node: NodeID, task: Question.Task)] = [:]
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
        switch test.stage {
        case .accepting(let acceptance), .accepted(let acceptance, _, _):
            guard map.position(of: test.node, in: map.shard(of: acceptance.key)) != nil else { return false }
        case .first, .others, .pause, .again, .finding: break
        }
        return test.box == nil || boxes[test.node] == test.box
    }

    /// Watches these nodes from now on, except itself.
    public mutating func watch(_ nodes: [NodeID], now: Instant) -> [Action] {
        tester.follow(nodes.filter { $0 != node })
        owing.formIntersection(nodes)
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
    public mutating func returned(_ node: NodeID, now: Instant) {
        owing.remove(node)
        tester.returned(node, now: now)
    }

    /// Ends all tests without a result, because this node stood still.
    public mutating func void(now: Instant) {
        for number in tests.keys.sorted() { skip(number, now) }
    }

    // MARK: Tests

    /// Begins what is due; to be called once a second or more often.
    ///
    /// `serves` says of a node whether it passes the tests of paths, and has passed one since a moment that is given:
    /// others are not tested here.
    public mutating func tick(serves: (NodeID, Instant?) -> Bool, now: Instant, time: UnixTime) -> [Action] {
        guard let map = view?.map else { return [] }
        var actions: [Action] = []
        for (number, test) in tests.sorted(by: { $0.key < $1.key }) {
            switch test.stage {
            case .pause(let since, let until):
                guard until <= now, let box = test.box else { continue }
                tests[number]?.stage = .again(since: since)
                actions.append(list(box, at: test.node, for: number))
            case .accepted(var acceptance, let since, let until):
                guard until <= now else { continue }
                acceptance.resume(after: since)
                actions += proceed(number, &acceptance, serves: serves, now, time)
            case .first, .others, .again, .finding, .accepting: continue
            }
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
        _ tested: NodeID, _ map: SwarmMap, serves: (NodeID, Instant?) -> Bool, _ now: Instant, _ time: UnixTime
    ) -> [Action] {
        guard map.contains(tested), serves(tested, nil) else {
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
        return ask(other, for: test, box: box.key, seed: box.seed, swarm: swarm, .list)
    }

    private mutating func ask(
        _ other: NodeID, for test: UInt64, box: Bytes32, seed: Bytes32, swarm: [NodeID],
        _ task: Question.Task
    ) -> Action {
        last += 1
        questions[last] = (test, other, task)
        return .ask(
            Question(
                number: last, node: other, box: box, swarm: swarm, seed: seed, task: task, network: network))
    }

    // MARK: Answers

    /// A question could not be put, which tells nothing of the node: no path or proxy was there, or too many questions.
    ///
    /// If it was for the tested node, the test ends without a result.
    public mutating func unasked(
        _ number: UInt64, serves: (NodeID, Instant?) -> Bool, now: Instant, time: UnixTime
    ) -> [Action] {
        guard let question = questions[number], question.node == tests[question.test]?.node else {
            return answered(number, nil, binding: Bytes32(), serves: serves, now: now, time: time)
        }
        skip(question.test, now)
        return []
    }

    /// The answer to a question, or nil if there is none.
    ///
    /// `binding` is that of the request; for `serves` see ``tick(serves:now:time:)``.
    public mutating func answered(
        _ number: UInt64, _ answer: StoreAnswer?, binding: Bytes32, serves: (NodeID, Instant?) -> Bool, now: Instant,
        time: UnixTime
    ) -> [Action] {
        guard let question = questions.removeValue(forKey: number), let test = tests[question.test],
            let map = view?.map
        else { return [] }
        switch test.stage {
        case .first:
            guard let box = test.box else { return [] }
            if let fetch = fetch(box, question, answer, binding) { return [fetch] }
            let seen = sight(of: box, at: test.node, question.task, answer, binding, now)
            return looked(question.test, seen, box, map, now)
        case .others(let asked, let showing):
            guard let box = test.box else { return [] }
            let isShown = sight(of: box, at: test.node, question.task, answer, binding, now) == .shown
            return compared(question.test, asked - 1, showing + (isShown ? 1 : 0), map, now)
        case .again(let since):
            guard let box = test.box else { return [] }
            if let fetch = fetch(box, question, answer, binding) { return [fetch] }
            let seen = sight(of: box, at: test.node, question.task, answer, binding, now)
            return lookedAgain(question.test, seen, map, hasServed: serves(test.node, since), now)
        case .accepting(var acceptance):
            acceptance.take(answer, from: question.node, isKnown: now - viewSince >= timing.settling)
            return proceed(question.test, &acceptance, serves: serves, now, time)
        case .pause, .accepted, .finding: return []
        }
    }

    /// The question for the item itself, if the tested node lists it.
    private mutating func fetch(
        _ box: TestBox, _ question: (test: UInt64, node: NodeID, task: Question.Task), _ answer: StoreAnswer?,
        _ binding: Bytes32
    ) -> Action? {
        guard case .list = question.task, case .listed(let listing)? = answer, let view,
            let entry = Self.entry(of: box, in: listing, binding)
        else { return nil }
        return ask(
            question.node, for: question.test, box: box.key, seed: box.seed,
            swarm: view.map.swarm(view.map.shard(of: box.key)), .fetch(log: listing.log, offset: entry.offset))
    }

    /// The entry of a box's item in a listing.
    ///
    /// Nobody else may delete the item, and its size is known.
    private static func entry(
        of box: TestBox, in listing: StoreAnswer.Listing, _ binding: Bytes32
    ) -> StoreAnswer.Listing.Entry? {
        let short = ShortID.of(box.id, binding: binding)
        return listing.entries.first {
            $0.shortID == short && $0.kind == .message && $0.sizeClass == box.sizeClass
        }
    }

    /// What an answer to LIST or FETCH shows of the item in a box.
    private func sight(
        of box: TestBox, at node: NodeID, _ task: Question.Task, _ answer: StoreAnswer?, _ binding: Bytes32,
        _ now: Instant
    ) -> StorageTest.Sight {
        switch answer {
        case .listed(let listing):
            if Self.entry(of: box, in: listing, binding) != nil { return .shown }
            // By the snapshots, not by the node's word.
            let isJoining = entered[node].map { now - $0 < timing.joining } ?? true
            return listing.isOutOfDate && isJoining ? .unclear : .missing
        case .items(let items):
            return items.contains { (try? StoredItem(decoding: $0.rawSpan, network: network))?.id == box.id }
                ? .shown : .missing
        // A full replica shows what it has.
        case .refused(.full): return .missing
        case .refused(let refusal):
            return refusal.isNoFault(isKnown: now - viewSince >= timing.settling) ? .unclear : .missing
        // Who lists an item and then does not answer has it not.
        case nil: if case .fetch = task { return .missing } else { return .silent }
        case .stored, .deleted: return .missing
        }
    }

    private mutating func looked(
        _ number: UInt64, _ sight: StorageTest.Sight, _ box: TestBox, _ map: SwarmMap, _ now: Instant
    ) -> [Action] {
        switch sight {
        case .shown:
            counts.retention.passed += 1
            return renew(number, map, now)
        case .missing: return compare(number, box, map, now)
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
    private mutating func compare(_ number: UInt64, _ box: TestBox, _ map: SwarmMap, _ now: Instant) -> [Action] {
        guard let tested = tests[number]?.node else { return [] }
        let others = map.swarm(map.shard(of: box.key)).filter { $0 != tested }
        guard !others.isEmpty else {
            counts.retention.unclear += 1
            finish(number, .unclear, now)
            return []
        }
        tests[number]?.stage = .others(asked: others.count, showing: 0)
        return others.map { list(box, at: $0, for: number) }
    }

    private mutating func compared(
        _ number: UInt64, _ asked: Int, _ showing: Int, _ map: SwarmMap, _ now: Instant
    ) -> [Action] {
        if showing >= map.majority {
            questions = questions.filter { $0.value.test != number }
            let end = now + timing.pause
            tests[number]?.stage = .pause(since: now, until: end)
            if let test = tests[number], test.isSilent { return [.testPaths(test.node)] }
        } else if asked > 0 {
            tests[number]?.stage = .others(asked: asked, showing: showing)
        } else {
            counts.retention.unclear += 1
            finish(number, .unclear, now)
        }
        return []
    }

    private mutating func lookedAgain(
        _ number: UInt64, _ sight: StorageTest.Sight, _ map: SwarmMap, hasServed: Bool, _ now: Instant
    ) -> [Action] {
        switch sight {
        case .shown:
            counts.retention.passed += 1
            return renew(number, map, now)
        case .missing: break
        // Where the node had answered before, only an answer counts; and silence only where paths go over it.
        case .silent where tests[number]?.isSilent == true && hasServed: break
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
        _ number: UInt64, _ drawn: (key: Bytes32, seed: Bytes32)?, serves: (NodeID, Instant?) -> Bool, now: Instant,
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
        _ number: UInt64, _ acceptance: inout Acceptance, serves: (NodeID, Instant?) -> Bool, _ now: Instant,
        _ time: UnixTime
    ) -> [Action] {
        guard let test = tests[number], let map = view?.map else { return [] }
        switch acceptance.next() {
        case .ask(let other):
            tests[number]?.stage = .accepting(acceptance)
            return [
                ask(
                    other, for: number, box: acceptance.key, seed: acceptance.seed, swarm: acceptance.swarm,
                    .store(height: acceptance.height, acceptance.item))
            ]
        case .accepted:
            counts.acceptance.passed += 1
            owing.remove(test.node)
            if test.isSilent, let box = test.box { return compare(number, box, map, now) }
            let box = TestBox(
                key: acceptance.key, seed: acceptance.seed, id: acceptance.item.id,
                sizeClass: acceptance.item.sizeClass,
                stored: time)
            boxes[test.node] = box
            entered[test.node] = now
            finish(number, .passed(capacity: nil), now)
            return [.keep(test.node, box)]
        case .pause:
            let end = now + timing.pause
            tests[number]?.stage = .accepted(acceptance, since: now, until: end)
            return acceptance.isSilent ? [.testPaths(test.node)] : []
        // Whether a node can be reached is for the tests of paths to say: of the time in which it was silent.
        case .failed(let silentSince) where silentSince.map({ serves(test.node, $0) }) ?? true:
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

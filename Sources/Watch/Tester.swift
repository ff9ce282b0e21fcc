public import Wire

/// Whom to test next, and what the tests say: each node watches random others (docs/protocol.md, "Watching one another").
///
/// It does no I/O and keeps no clock: it names a node to be tested, and is told what came of it. Failures are looked at again,
/// each after a longer wait; a node is called dead only after several, and only by a tester that reaches most others.
public struct Tester: Sendable {
    /// When to test.
    public struct Timing: Hashable, Sendable {
        /// Between two tests of random nodes.
        public var interval: TimeSpan
        /// Before a failed node is tested again; doubles each time.
        public var firstRetry: TimeSpan
        /// The longest wait before a failed node is tested again.
        public var longestRetry: TimeSpan
        /// How long a capacity counts before it is measured again.
        public var measureAfter: TimeSpan
        /// How long a test's result says something.
        public var freshness: TimeSpan

        /// The times that suit epochs of so many seconds: a random test each 1 to 30 s.
        public init(epochSeconds: UInt64) {
            let epoch = Int64(clamping: min(epochSeconds, 604_800))
            interval = .milliseconds(min(30_000, max(1_000, epoch * 1_000 / 60)))
            firstRetry = interval
            longestRetry = .seconds(max(8, epoch / 4))
            measureAfter = .seconds(max(5, epoch * 6))
            freshness = .seconds(max(60, epoch))
        }
    }

    /// From how many marks on a node counts as dead.
    public static let deadMarks = 3
    /// The most marks, so that a node that is back is seen to be.
    private static let maximumMarks = 6
    /// After how many passed tests in a row a node counts as well.
    public static let wellPasses = 2
    private static let never = Instant(nanoseconds: .max)
    /// How many tests may be under way.
    public static let testsAtOnce = 8
    /// How many of these may be tests that others asked for, how many of those may wait, and how many of one who asks.
    public static let hurriedAtOnce = 4, hurriedLimit = 64, hurriedPerSender = 16

    private let timing: Timing
    private var random: SeededGenerator
    private var nodes: [NodeID] = []
    private var watched: Set<NodeID> = []
    /// What is known, of watched nodes alone.
    public private(set) var records: [NodeID: TestRecord] = [:]
    /// The nodes with ``deadMarks`` or more.
    public private(set) var marked: Set<NodeID> = []
    /// When the first of the tests out of turn is due, or before.
    private var nextRetry = Tester.never
    private var underWay: Set<NodeID> = []
    /// Those under way that others asked for.
    private var hurriedUnderWay: Set<NodeID> = []
    /// Nodes to be tested out of turn, and who asked for it, first come first.
    private var hurried: [(node: NodeID, sender: NodeID)] = []
    private var shares = Shares<NodeID>(capacity: Self.hurriedLimit, most: Self.hurriedPerSender)
    private var nextRandom: Instant
    /// How many operators have exits.
    public var exitOperators = 0
    /// Those under way that were picked by chance.
    private var picked: Set<NodeID> = []
    /// The last eight tests of nodes picked by chance that were passed, or failed by nodes not in doubt: a bit each, set where it failed.
    ///
    /// Nobody can choose whom they were of.
    private var sight: UInt8 = 0
    /// The most of these that may have failed before the fault is more likely here.
    private static let mostFailures = 3
    /// The last tests of nodes picked by chance that were passed or failed, the oldest first.
    private var picks: [(node: NodeID, isFailed: Bool)] = []
    /// How many of these are kept, and among how many nodes more they stand for all.
    private static let pickLimit = 32
    /// Tests that were begun, passed and failed.
    public private(set) var begun: UInt64 = 0, passed: UInt64 = 0, failed: UInt64 = 0

    /// A tester that watches nobody yet; `seed` decides whom it picks.
    public init(timing: Timing, seed: UInt64, now: Instant) {
        self.timing = timing
        random = SeededGenerator(seed: seed)
        nextRandom = now
    }

    /// Watches these nodes from now on, itself not among them; what was known of others is forgotten.
    public mutating func follow(_ nodes: [NodeID]) {
        guard nodes != self.nodes else { return }
        self.nodes = nodes
        watched = Set(nodes)
        records = records.filter { watched.contains($0.key) }
        marked.formIntersection(watched)
        for place in hurried.indices.reversed() where !watched.contains(hurried[place].node) { unhurry(place) }
    }

    /// The node to test now, or nil when none is due; the caller tells what came of it by ``finished(_:_:now:)``.
    public mutating func next(_ now: Instant) -> NodeID? {
        guard underWay.count < Self.testsAtOnce else { return nil }
        while hurriedUnderWay.count < Self.hurriedAtOnce, let node = hurried.first?.node {
            unhurry(0)
            if !underWay.contains(node) {
                hurriedUnderWay.insert(node)
                return begin(node)
            }
        }
        if let due = dueRetry(now) { return begin(due) }
        guard now >= nextRandom, !nodes.isEmpty else { return nil }
        // Not all nodes at the same moments: half to one and a half of the interval.
        let half = timing.interval.nanoseconds / 2
        nextRandom = now + TimeSpan(nanoseconds: half + Int64(random.next() % UInt64(max(1, 2 * half))))
        let node = nodes[Int(random.next() % UInt64(nodes.count))]
        guard !underWay.contains(node) else { return nil }
        picked.insert(node)
        return begin(node)
    }

    /// The node whose test out of turn is due first; one that is being tested has none.
    private mutating func dueRetry(_ now: Instant) -> NodeID? {
        guard nextRetry <= now else { return nil }
        var due: (at: Instant, node: NodeID)?
        nextRetry = Self.never
        for (node, record) in records {
            guard let retry = record.retry else { continue }
            var later = retry
            if retry <= now, due.map({ (retry, node) < $0 }) ?? true {
                later = due?.at ?? Self.never
                due = (retry, node)
            }
            nextRetry = min(nextRetry, later)
        }
        return due?.node
    }

    /// Keeps what is known of a node.
    private mutating func keep(_ record: TestRecord, of node: NodeID) {
        records[node] = record
        if let retry = record.retry { nextRetry = min(nextRetry, retry) }
        if record.marks >= Self.deadMarks { marked.insert(node) } else { marked.remove(node) }
    }

    private mutating func begin(_ node: NodeID) -> NodeID {
        underWay.insert(node)
        records[node]?.retry = nil
        begun += 1
        return node
    }

    /// Whether the test that begins now is to measure the node's capacity too.
    public func wantsCapacity(of node: NodeID, now: Instant) -> Bool {
        guard let measured = records[node]?.measured else { return true }
        return now - measured >= timing.measureAfter
    }

    /// Where to test a node that can be tested as a middle; nil: at either place, by chance.
    ///
    /// A node in doubt is tested in the plainest way; one that is at fault as a middle then once more there.
    public func isToBeHidden(_ node: NodeID) -> Bool? {
        guard let record = records[node], record.lastPass != nil else { return false }
        if record.hidden.score > 0 { return !record.wasHidden }
        return record.isInDoubt ? false : nil
    }

    /// A test has ended that had the node at `place`, and `others` as the further hops; `owner` is the operator of the path's exit.
    ///
    /// `servesAlone`: the test was unclear, and another one right behind it that ended at the node itself was passed. An
    /// unclear test counts against the node only where all others are known to serve. Where one is in doubt the test counts
    /// for nothing, or as passed when the node serves alone.
    public mutating func finished(
        _ node: NodeID, _ tested: TestOutcome, at place: TestPlace, over others: [NodeID] = [],
        before owner: Bytes32? = nil, servesAlone: Bool = false, now: Instant
    ) {
        hurriedUnderWay.remove(node)
        let isPicked = picked.remove(node) != nil
        guard underWay.remove(node) != nil, watched.contains(node) else { return }
        var outcome = tested
        // Passed only in that the node serves alone, or hands builds on: that says nothing of what it carries to others.
        var isPartial = false
        switch tested {
        case .unclear where others.isEmpty || !others.allSatisfy(serves):
            guard servesAlone else { return finishedForNothing(node, at: place, now: now) }
            (outcome, isPartial) = (.passed(capacity: nil), true)
        case .passedOn: (outcome, isPartial) = (.passed(capacity: nil), true)
        case .passed, .failed, .refused, .unclear: break
        }
        var record = records[node] ?? TestRecord(lastTest: now)
        (record.lastEnd, record.wasHidden) = (now, place == .middle)
        switch outcome {
        case .passed where isPicked:
            sight <<= 1
            keepPick(of: node, isFailed: false)
        case .failed where isPicked:
            if !record.isInDoubt { sight = sight << 1 | 1 }
            keepPick(of: node, isFailed: true)
        case .passed, .failed, .refused, .unclear, .passedOn: break
        }
        let isGrave: Bool
        if place == .middle {
            if !isPartial {
                record.hidden.note(outcome, over: others, before: owner, isSmall: isSmall, now: now)
            }
            isGrave = record.hidden.isGrave(
                for: timing.freshness, operators: exitOperators, leastOthers: leastOthers(for: node), now: now)
        } else {
            if !isPartial { record.shown.note(outcome, over: others, isSmall: isSmall, now: now) }
            isGrave = record.shown.isGrave(for: timing.freshness, leastOthers: leastOthers(for: node), now: now)
        }
        switch outcome {
        case .passed where isPartial && isGrave:
            // It takes no mark away from a node that is at fault with what it passes on.
            record.retry = now + timing.firstRetry
        case .passed(let capacity):
            passed += 1
            if let capacity {
                record.capacity = capacity
                record.measured = now
            }
            // Who serves only where it can tell the tester does not serve.
            if place == .first(mayHide: true),
                record.hidden.isGrave(
                    for: timing.freshness, operators: exitOperators, leastOthers: leastOthers(for: node), now: now)
            {
                record.retry = now + timing.firstRetry
                break
            }
            record.isFailing = false
            record.lastTest = now
            record.lastPass = now
            record.marks = max(0, record.marks - 1)
            record.passes = min(record.passes + 1, 1_000)
            // The wait after a failure as a middle goes on growing until that is made good.
            if record.hidden.score == 0 { record.retries = 0 }
            // One that has marks, has not shown itself well, or was at fault as a middle is looked at again soon.
            let isLookedAt = record.marks > 0 || record.passes < Self.wellPasses || record.hidden.score > 0
            record.retry = isLookedAt ? now + timing.firstRetry : nil
        case .refused where isGrave, .unclear where isGrave, .failed:
            failed += 1
            record.isFailing = true
            record.lastTest = now
            if !isShortSighted { record.marks = min(record.marks + 1, Self.maximumMarks) }
            record.passes = 0
            backOff(&record, now)
        case .refused, .unclear, .passedOn:
            backOff(&record, now)
        }
        keep(record, of: node)
    }

    private mutating func keepPick(of node: NodeID, isFailed: Bool) {
        if picks.count == Self.pickLimit { picks.removeFirst() }
        picks.append((node, isFailed))
    }

    /// Whether so many nodes fail that served a moment ago that the fault is more likely here: failures make no marks.
    ///
    /// A node that is cut off from most others has tested few of them since. Those that it has not tested hide from
    /// ``isBlind(among:now:)`` how many are out of its reach.
    private var isShortSighted: Bool { sight.nonzeroBitCount > Self.mostFailures }

    /// Whether two nodes can be on most paths.
    private var isSmall: Bool { nodes.count <= TestPairs.maximumOthers }

    /// Over how many others unclear tests of `node` must have gone: four, or all three that serve where one of four is away.
    private func leastOthers(for node: NodeID) -> Int {
        guard nodes.count > Trouble.leastOthers else { return Trouble.leastOthers }
        let serving = records.keys.count { $0 != node && serves($0) }
        return min(Trouble.leastOthers, max(3, serving))
    }

    /// Whether the last test of the node was passed, and none was failed that is not made good.
    private func serves(_ node: NodeID) -> Bool {
        records[node].map { $0.lastPass != nil && !$0.isInDoubt } ?? false
    }

    /// A test has ended that says nothing of the node: it is tested again later.
    private mutating func finishedForNothing(_ node: NodeID, at place: TestPlace, now: Instant) {
        var record = records[node] ?? TestRecord(lastTest: now)
        (record.lastEnd, record.wasHidden) = (now, place == .middle)
        if record.isInDoubt || record.passes < Self.wellPasses { backOff(&record, now) }
        keep(record, of: node)
    }

    /// This node could not make the test, which says nothing of the other; it is tried again later.
    public mutating func skipped(_ node: NodeID, now: Instant) {
        hurriedUnderWay.remove(node)
        picked.remove(node)
        guard underWay.remove(node) != nil, watched.contains(node), var record = records[node] else { return }
        if record.isInDoubt || record.passes < Self.wellPasses { backOff(&record, now) }
        keep(record, of: node)
    }

    private func backOff(_ record: inout TestRecord, _ now: Instant) {
        let wait = timing.firstRetry * (1 << Int64(min(record.retries, 12)))
        record.retry = now + min(wait, timing.longestRetry)
        record.retries += 1
    }

    /// Has `node` tested soon, because `sender` asks for it; no sooner after the last test than the first retry comes.
    public mutating func hurry(_ node: NodeID, for sender: NodeID, now: Instant) {
        guard watched.contains(node), !underWay.contains(node), !hurried.contains(where: { $0.node == node }) else {
            return
        }
        if let record = records[node] {
            let soonest = max(record.lastEnd + timing.firstRetry, now)
            if let retry = record.retry {
                records[node]?.retry = min(retry, soonest)
                nextRetry = min(nextRetry, soonest)
                return
            }
            guard soonest <= now else { return }
        }
        var admission = shares.take(for: sender)
        if case .makeRoom(let other) = admission, let last = hurried.lastIndex(where: { $0.sender == other }) {
            unhurry(last)
            admission = shares.take(for: sender)
        }
        if admission == .granted { hurried.append((node, sender)) }
    }

    private mutating func unhurry(_ place: Int) { shares.release(hurried.remove(at: place).sender) }

    /// The node comes back from a maintenance: only a test from now on can make it dead, and it is made soon.
    public mutating func returned(_ node: NodeID, now: Instant) {
        guard var record = records[node] else { return }
        record.marks = min(record.marks, Self.deadMarks - 1)
        record.retries = 0
        record.retry = now
        keep(record, of: node)
    }

    // MARK: What the tests say

    /// Whether the node did not serve in several tests, lately.
    public func isDead(_ node: NodeID, now: Instant) -> Bool {
        guard let record = records[node], record.marks >= Self.deadMarks, record.passes == 0 else { return false }
        return now - record.lastTest <= max(timing.freshness, timing.longestRetry + timing.longestRetry)
    }

    /// Whether the node served in the last tests, lately.
    public func isWell(_ node: NodeID, now: Instant) -> Bool {
        guard let record = records[node], record.passes >= Self.wellPasses, record.marks < Self.deadMarks,
            let pass = record.lastPass
        else { return false }
        return now - pass <= timing.freshness
    }

    /// The nodes that count as dead, by id.
    public func dead(_ now: Instant) -> [NodeID] { records.keys.filter { isDead($0, now: now) }.sorted() }

    /// Whether so many nodes seem dead that the fault is more likely here: more than a third of those tested and more than
    /// two of them, or all, or more than three of the last eight that it picked and that were not in doubt.
    ///
    /// Such a tester accuses nobody. So a split of the network costs nobody the stake. Failing nodes are tested far more often than
    /// others: of many nodes a few dead ones would soon be most of those tested lately. So of many the last 32 that were picked by
    /// chance stand for all, and more than three eighths of them must have failed, as a third often shows more than a third.
    public func isBlind(among active: (NodeID) -> Bool, now: Instant) -> Bool {
        if isShortSighted { return true }
        var (tested, dead) = (0, 0)
        if nodes.count > Self.pickLimit {
            for pick in picks where active(pick.node) {
                tested += 1
                if pick.isFailed { dead += 1 }
            }
            return dead > max(3, tested * 3 / 8)
        }
        for (node, record) in records where now - record.lastTest <= timing.freshness && active(node) {
            tested += 1
            if record.isFailing { dead += 1 }
        }
        return dead > 0 && dead == tested || dead > max(2, tested / 3)
    }
}

/// A generator of numbers by a seed (splitmix64): for choices that need not be unguessable.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// The generator of `seed`.
    public init(seed: UInt64) { state = seed }

    /// The next number.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}

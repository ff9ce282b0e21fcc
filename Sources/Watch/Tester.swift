// One file: tests, results and marks share the private state of a node's table.

public import Wire

/// Chooses the next node to test and evaluates the results: each node tests random others (docs/protocol.md, section
/// 11).
///
/// It does no I/O and keeps no clock: it names a node to test, and the caller reports the result. A failed node is
/// tested again, each time after a longer wait. A node counts as dead only after several failures, and only for a
/// tester that reaches most others.
///
/// It has more members than most types: the nodes in each state of testing, and the times of the next tests.
public struct Tester: Sendable {
    /// The times of tests.
    public struct Timing: Hashable, Sendable {
        /// The time between two tests of random nodes.
        public var interval: TimeSpan
        /// The wait before a failed node is tested again; it doubles each time.
        public var firstRetry: TimeSpan
        /// The longest wait before a failed node is tested again.
        public var longestRetry: TimeSpan
        /// The age at which a capacity is measured again.
        public var measureAfter: TimeSpan
        /// How long a test's result is valid.
        public var freshness: TimeSpan

        /// Times for epochs of this length: a random test each 1 to 30 s.
        public init(epochSeconds: UInt64) {
            let epoch = Int64(clamping: min(epochSeconds, 604_800))
            interval = .milliseconds(min(30_000, max(1_000, epoch * 1_000 / 60)))
            firstRetry = interval
            longestRetry = .seconds(max(8, epoch / 4))
            measureAfter = .seconds(max(5, epoch * 6))
            freshness = .seconds(max(60, epoch))
        }

        /// These times.
        init(
            interval: TimeSpan, firstRetry: TimeSpan, longestRetry: TimeSpan, measureAfter: TimeSpan,
            freshness: TimeSpan
        ) {
            (self.interval, self.firstRetry, self.longestRetry) = (interval, firstRetry, longestRetry)
            (self.measureAfter, self.freshness) = (measureAfter, freshness)
        }
    }

    /// The number of marks from which a node counts as dead.
    public static let deadMarks = 3
    /// The largest number of marks, so that a node's return is noticed.
    private static let maximumMarks = 6
    /// The number of passed tests in a row after which a node counts as well.
    public static let wellPasses = 2
    private static let never = Instant(nanoseconds: .max)
    /// How many tests may be under way.
    public static let testsAtOnce = 8
    /// How many of these may be tests requested by others, how many requests may wait, and how many of one sender.
    public static let urgentAtOnce = 4, urgentLimit = 64, urgentPerSender = 16

    private let timing: Timing
    private var random: SeededGenerator
    private var nodes: [NodeID] = []
    private var watched: Set<NodeID> = []
    /// The records of watched nodes.
    public private(set) var records: [NodeID: TestRecord] = [:]
    /// What went wrong with these nodes.
    private var troubles: [NodeID: Troubles] = [:]
    /// The nodes with ``deadMarks`` or more.
    public private(set) var marked: Set<NodeID> = []
    /// When the first test out of turn is due, or earlier.
    private var nextRetry = Tester.never
    private var underWay: Set<NodeID> = []
    /// The tests under way that others requested.
    private var urgentUnderWay: Set<NodeID> = []
    /// Nodes to test out of turn.
    private var urgent = UrgentTests()
    private var nextRandom: Instant
    /// The number of operators that have exits.
    public var exitOperators = 0
    /// The tests under way of nodes picked at random.
    private var picked: Set<NodeID> = []
    /// The last eight tests of randomly picked nodes that were passed, or failed by nodes not in doubt: a bit each, set
    /// if failed.
    ///
    /// No other node can choose which nodes these were.
    private var sight: UInt8 = 0
    /// If more of these have failed, this node is more likely at fault.
    private static let mostFailures = 3
    /// The last tests of randomly picked nodes that were passed or failed, oldest first.
    private var picks: [(node: NodeID, isFailed: Bool)] = []
    /// How many of these are kept; with more nodes than this, they represent all nodes.
    private static let pickLimit = 32
    /// How many there were in all, and how many, in a network of many, must have come since a node's first failure
    /// before it is accused.
    private var pickCount: UInt64 = 0
    private static let picksToAccuse: UInt64 = 8
    /// Tests that were begun, passed and failed.
    public private(set) var begun: UInt64 = 0, passed: UInt64 = 0, failed: UInt64 = 0

    /// A tester that watches no node yet; `seed` determines the random picks.
    public init(timing: Timing, seed: UInt64, now: Instant) {
        self.timing = timing
        random = SeededGenerator(seed: seed)
        nextRandom = now
    }

    /// Watches these nodes from now on, except itself; records of other nodes are removed.
    public mutating func follow(_ nodes: [NodeID]) {
        guard nodes != self.nodes else { return }
        self.nodes = nodes
        watched = Set(nodes)
        records = records.filter { watched.contains($0.key) }
        troubles = troubles.filter { watched.contains($0.key) }
        marked.formIntersection(watched)
        urgent.keep(watched.contains)
    }

    /// The node to test now; nil when none is due.
    ///
    /// The caller reports the result with ``finished(_:_:now:)``.
    public mutating func next(_ now: Instant) -> NodeID? {
        guard underWay.count < Self.testsAtOnce else { return nil }
        while urgentUnderWay.count < Self.urgentAtOnce, let node = urgent.next() {
            if !underWay.contains(node) {
                urgentUnderWay.insert(node)
                return begin(node)
            }
        }
        if let due = dueRetry(now) { return begin(due) }
        guard now >= nextRandom, !nodes.isEmpty else { return nil }
        // Nodes must not test at the same moments: half to one and a half of the interval.
        let half = timing.interval.nanoseconds / 2
        nextRandom = now + TimeSpan(nanoseconds: half + Int64(random.next() % UInt64(max(1, 2 * half))))
        let node = nodes[Int(random.next() % UInt64(nodes.count))]
        guard !underWay.contains(node) else { return nil }
        picked.insert(node)
        return begin(node)
    }

    /// The node whose test out of turn is due first; a node that is being tested is not due.
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

    /// Stores a node's record.
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

    /// Whether the test that begins now should also measure the node's capacity.
    public func wantsCapacity(of node: NodeID, now: Instant) -> Bool {
        guard let measured = records[node]?.measured else { return true }
        return now - measured >= timing.measureAfter
    }

    /// The place at which to test a node that can be tested as a middle; nil: either place, at random.
    ///
    /// A node in doubt is tested as simply as possible; one that is at fault as a middle is then tested there once
    /// more.
    public func isToBeHidden(_ node: NodeID) -> Bool? {
        guard let record = records[node], record.lastPass != nil else { return false }
        if hiddenScore(of: node) > 0 { return !record.wasHidden }
        return record.isInDoubt ? false : nil
    }

    /// Handles the end of a test with the node at `place` and `others` as further hops; `owner` is the operator of the
    /// path's exit.
    ///
    /// `servesAlone`: the test was unclear, and another one right after it, which ended at the node itself, was passed.
    /// An unclear test counts against the node only if all others are known to serve. If one of them is in doubt, the
    /// test counts for nothing, or as passed if the node serves alone.
    public mutating func finished(
        _ node: NodeID, _ tested: TestOutcome, at place: TestPlace, over others: [NodeID] = [],
        before owner: Bytes32? = nil, servesAlone: Bool = false, now: Instant
    ) {
        urgentUnderWay.remove(node)
        let isPicked = picked.remove(node) != nil
        guard underWay.remove(node) != nil, watched.contains(node) else { return }
        var outcome = tested
        // Passed only because the node serves alone, or passes builds on: this shows nothing of its traffic to others.
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
                troubles[node, default: Troubles()].hidden.note(
                    outcome, over: others, before: owner, isSmall: isSmall, now: now)
            }
            isGrave = isHiddenGrave(node, now)
        } else {
            if !isPartial {
                troubles[node, default: Troubles()].shown.note(outcome, over: others, isSmall: isSmall, now: now)
            }
            isGrave =
                troubles[node]?.shown.isGrave(
                    for: timing.freshness, leastOthers: leastOthers(for: node), now: now) ?? false
        }
        switch outcome {
        case .passed where isPartial && isGrave:
            // It removes no mark from a node that is at fault with traffic to others.
            record.retry = now + timing.firstRetry
        case .passed(let capacity):
            passed += 1
            if let capacity {
                record.capacity = capacity
                record.measured = now
            }
            // A node that serves only where it can recognize the tester does not serve.
            if place == .first(mayHide: true), isHiddenGrave(node, now) {
                record.retry = now + timing.firstRetry
                break
            }
            record.isFailing = false
            record.lastTest = now
            record.lastPass = now
            record.marks = max(0, record.marks - 1)
            record.passes = min(record.passes + 1, 1_000)
            // The wait after a failure as a middle continues to grow until the score is zero again.
            if hiddenScore(of: node) == 0 { record.retries = 0 }
            // A node that has marks, is not well yet, or was at fault as a middle is tested again soon.
            let isLookedAt = record.marks > 0 || record.passes < Self.wellPasses || hiddenScore(of: node) > 0
            record.retry = isLookedAt ? now + timing.firstRetry : nil
        case .refused where isGrave, .unclear where isGrave, .failed:
            failed += 1
            if !record.isFailing { record.picksBefore = pickCount }
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

    /// The score of the node's tests as a middle.
    private func hiddenScore(of node: NodeID) -> Int { troubles[node]?.hidden.score ?? 0 }

    private func isHiddenGrave(_ node: NodeID, _ now: Instant) -> Bool {
        troubles[node]?.hidden.isGrave(
            for: timing.freshness, operators: exitOperators, leastOthers: leastOthers(for: node), now: now) ?? false
    }

    private mutating func keepPick(of node: NodeID, isFailed: Bool) {
        pickCount += 1
        if picks.count == Self.pickLimit { picks.removeFirst() }
        picks.append((node, isFailed))
    }

    /// Whether so many recently serving nodes fail that this node is more likely at fault: failures then make no marks.
    ///
    /// A node that is cut off from most others has tested few of them since. The untested ones hide from
    /// ``isBlind(among:now:)`` how many are out of its reach.
    private var isShortSighted: Bool { sight.nonzeroBitCount > Self.mostFailures }

    /// Whether two nodes can be on most paths.
    private var isSmall: Bool { nodes.count <= TestPairs.maximumOthers }

    /// Over how many others unclear tests of `node` must have gone: four, or all three that serve where one of four is
    /// away.
    private func leastOthers(for node: NodeID) -> Int {
        guard nodes.count > Trouble.leastOthers else { return Trouble.leastOthers }
        let serving = records.keys.count { $0 != node && serves($0) }
        return min(Trouble.leastOthers, max(3, serving))
    }

    /// Whether the node's last test was passed and no failure still counts.
    public func serves(_ node: NodeID) -> Bool {
        records[node].map { $0.lastPass != nil && !$0.isInDoubt } ?? false
    }

    /// Handles a test without a result: the node is tested again later.
    private mutating func finishedForNothing(_ node: NodeID, at place: TestPlace, now: Instant) {
        var record = records[node] ?? TestRecord(lastTest: now)
        (record.lastEnd, record.wasHidden) = (now, place == .middle)
        if record.isInDoubt || record.passes < Self.wellPasses { backOff(&record, now) }
        keep(record, of: node)
    }

    /// This node could not make the test, which shows nothing about the other node; it is tried again later.
    public mutating func skipped(_ node: NodeID, now: Instant) {
        urgentUnderWay.remove(node)
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

    /// Tests `node` soon, at the request of `sender`; not earlier after the last test than a first retry.
    public mutating func expedite(_ node: NodeID, for sender: NodeID, now: Instant) {
        let record = records[node]
        let soonest = record.map { max($0.lastEnd + timing.firstRetry, now) } ?? now
        // A node may be asked for many times: then it is to be tested soon already.
        if let retry = record?.retry, retry <= soonest { return }
        guard watched.contains(node), !underWay.contains(node), !urgent.contains(node) else {
            return
        }
        if record?.retry != nil {
            records[node]?.retry = soonest
            nextRetry = min(nextRetry, soonest)
            return
        }
        if soonest <= now { urgent.add(node, for: sender) }
    }

    /// The node returns from a maintenance: only tests from now on can make it dead, and one follows soon.
    public mutating func returned(_ node: NodeID, now: Instant) {
        guard var record = records[node] else { return }
        record.marks = min(record.marks, Self.deadMarks - 1)
        record.retries = 0
        record.retry = now
        keep(record, of: node)
    }

    // MARK: What the tests say

    /// Whether the node failed several recent tests.
    public func isDead(_ node: NodeID, now: Instant) -> Bool { records[node].map { isDead($0, now: now) } ?? false }

    func isDead(_ record: TestRecord, now: Instant) -> Bool {
        guard record.marks >= Self.deadMarks, record.passes == 0 else { return false }
        return now - record.lastTest <= deadFor
    }

    /// How long a dead node counts as such after its last test.
    private var deadFor: TimeSpan { max(timing.freshness, timing.longestRetry + timing.longestRetry) }

    /// Whether the node is dead, and enough random picks since its first failure show whether this tester reaches the
    /// others.
    ///
    /// A tester that has just been cut off still remembers that it reached most: it would accuse the first nodes that
    /// it misses, and so would a whole quorum that was cut off with it. Among few nodes, the last tests of all are
    /// known.
    func mayAccuse(_ record: TestRecord, now: Instant) -> Bool {
        guard isDead(record, now: now) else { return false }
        return nodes.count <= Self.pickLimit || pickCount - record.picksBefore >= Self.picksToAccuse
    }

    /// Whether the node passed the last recent tests.
    public func isWell(_ node: NodeID, now: Instant) -> Bool {
        guard let record = records[node], record.passes >= Self.wellPasses, record.marks < Self.deadMarks,
            let pass = record.lastPass
        else { return false }
        return now - pass <= timing.freshness
    }

    /// Whether a recent test, the last one with a result, was failed, or the node has too many marks to be well.
    ///
    /// A tester without a recent result does not object.
    func objects(to node: NodeID, now: Instant) -> Bool {
        guard let record = records[node], now - record.lastTest <= deadFor else { return false }
        return record.isFailing || record.marks >= Self.deadMarks
    }

    /// The nodes that count as dead, by id.
    public func dead(_ now: Instant) -> [NodeID] { records.keys.filter { isDead($0, now: now) }.sorted() }

    /// Whether so many nodes seem dead that this node is more likely at fault.
    ///
    /// This is so if all tested nodes seem dead, or more than a third and more than two; or if more than three of the
    /// last eight randomly picked nodes, without those in doubt, have failed. Such a tester accuses no node, so a split
    /// of the network costs no node its stake. Failing nodes are tested far more often than others: among many nodes, a
    /// few dead ones would soon be most of those tested lately. Among many nodes, therefore, the last 32 random picks
    /// represent all. More than three eighths of them must have failed, because a share of a third often gives more
    /// than a third of the picks.
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

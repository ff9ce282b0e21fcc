public import Wire

/// What came of testing a node: a link, a path through it and on to others.
public enum TestOutcome: Hashable, Sendable {
    /// It served; `capacity` is what it carried in 1,000 bytes a second, where that was measured.
    case passed(capacity: UInt32?)
    /// It handed the build on and brought back that a hop behind it refused: it lives, and no packet showed what it carries.
    case passedOn
    /// It did not serve.
    case failed
    /// It said itself that it will not serve now, as a node does that is asked for too much.
    case refused
    /// Something failed that others had a part in: it is no proof against the node.
    case unclear
}

/// How the tested node is used, and so what it can know of the test.
public enum TestPlace: Hashable, Sendable {
    /// As the first hop, whose client has this node's address; `mayHide`: it can be tested as a middle too.
    case first(mayHide: Bool)
    /// As a middle, for which nothing tells the test from a client's path.
    case middle
}

/// Tests at one place that were not passed, set against those that were.
///
/// A refusal adds 3, an unclear test 1, a passed one takes 3 away: so it stays above zero only where more than half of the tests
/// are refused, or more than three quarters go wrong by someone's fault. A test that a hop behind the node refused neither adds nor
/// takes: neighbours of the node could refuse so as to have it passed. Unclear tests alone count only where they went over
/// several other nodes, each of which serves: a few neighbours that fail make nobody's score grave.
///
/// Exits can drop the builds that come from one middle, and it cannot be told from the middle's doing. So a middle must also have
/// failed with the exits of four operators, or half of all, and of more than it has served with: exits of fewer operators,
/// however much weight they have, put out none. Nor do any two nodes of a small network (``TestPairs``).
struct Trouble: Hashable, Sendable {
    /// From where on it counts, and the most that it comes to.
    private static let grave = 24, most = 48
    /// Over how many other nodes unclear tests must have gone to count.
    static let leastOthers = 4
    private(set) var score = 0
    /// The part of the score that the node's own refusals make.
    private var refusals = 0
    /// Other nodes that unclear tests went over since the score was zero, as many as count.
    private var others: Set<NodeID> = []
    /// Whether the last test with an exit of each operator was passed, since the score was zero.
    private var served: [Bytes32: Bool] = [:]
    /// How many operators are remembered, and of how many it must have failed with the exits, if there are as many.
    private static let maximumOperators = 256, operators = 4
    /// Since when the score has been above zero.
    private var since: Instant?
    /// The last tests by the nodes that they went over, in a small network.
    private var pairs = TestPairs()

    /// Notes what came of a test over `nodes`, as a middle before an exit of `owner`; `isSmall` says that the network has few nodes.
    mutating func note(
        _ outcome: TestOutcome, over nodes: [NodeID], before owner: Bytes32? = nil, isSmall: Bool = false, now: Instant
    ) {
        guard outcome != .failed, outcome != .passedOn else { return }
        if !isSmall {
            pairs.clear()
        } else if outcome != .refused {
            pairs.note(outcome == .unclear, over: nodes)
        }
        if let owner, served[owner] != nil || served.count < Self.maximumOperators {
            if case .passed = outcome { served[owner] = true } else { served[owner] = false }
        }
        switch outcome {
        case .passed: (score, refusals) = (max(0, score - 3), max(0, refusals - 3))
        case .refused: (score, refusals) = (min(score + 3, Self.most), min(refusals + 3, Self.most))
        case .unclear:
            score = min(score + 1, Self.most)
            for node in nodes where others.count < Self.leastOthers { others.insert(node) }
        case .failed, .passedOn: break
        }
        since = score == 0 ? nil : since ?? now
        if score == 0 {
            others = []
            served.removeAll()
        }
    }

    /// Whether so much goes wrong for longer than `time` that it is the node's fault, where exits have `operators`.
    ///
    /// Unclear tests must have gone over `leastOthers` other nodes.
    func isGrave(
        for time: TimeSpan, operators: Int = 0, leastOthers: @autoclosure () -> Int = Self.leastOthers, now: Instant
    ) -> Bool {
        let good = served.count { $0.value }
        let bad = served.count - good
        return score >= Self.grave
            && (refusals >= Self.grave || others.count >= leastOthers() && !pairs.areTwoOthersSuspect)
            && (served.isEmpty || bad > good) && bad >= min(Self.operators, (operators + 1) / 2)
            && since.map { now - $0 >= time } ?? false
    }
}

/// What a node knows of another by its own tests.
public struct TestRecord: Hashable, Sendable {
    /// Failures that count: one more for each failed test, one less for each passed one.
    public internal(set) var marks = 0
    /// Passed tests since the last failed one.
    public internal(set) var passes = 0
    /// When the last test ended that said something.
    public internal(set) var lastTest: Instant
    /// When the last test was passed; nil: never.
    public internal(set) var lastPass: Instant?
    /// What the node carried, in 1,000 bytes a second; nil: not measured yet.
    public internal(set) var capacity: UInt32?
    /// When that was measured.
    public internal(set) var measured: Instant?
    /// When it is to be tested again out of turn; nil: in its turn.
    var retry: Instant?
    /// Tests out of turn since the last passed one, by which the wait for the next grows.
    var retries = 0
    /// What went wrong with it as first hop, and as a middle.
    var shown = Trouble(), hidden = Trouble()
    /// Whether the last test that said something was not passed.
    var isFailing = false
    /// When the last test ended, whatever it said, and whether it had the node as a middle.
    var lastEnd = Instant(nanoseconds: 0)
    var wasHidden = false

    /// Whether the last test was not passed, so that the next one is made in the plainest way.
    public var isInDoubt: Bool { marks > 0 || retries > 0 }
}

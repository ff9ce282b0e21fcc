public import Wire

/// The result of testing a node with a link, and a path through it to other nodes.
public enum TestOutcome: Hashable, Sendable {
    /// It served; `capacity` is the measured rate in 1,000 bytes a second, nil if not measured.
    case passed(capacity: UInt32?)
    /// It passed the build on and returned a later hop's refusal: it is alive, but no packet shows its capacity.
    case passedOn
    /// It did not serve.
    case failed
    /// It refused by its own answer, as an overloaded node does.
    case refused
    /// A failure in which others had a part: it proves nothing against the node.
    case unclear
}

/// The place of the tested node in the path, which decides what it can know of the test.
public enum TestPlace: Hashable, Sendable {
    /// As the first hop, which sees the tester's address as its client's; `mayHide`: it can be tested as a middle too.
    case first(mayHide: Bool)
    /// As a middle, which cannot tell the test from a client's path.
    case middle
}

/// The balance of passed and other tests at one place.
///
/// A refusal adds 3, an unclear test adds 1, a passed one takes 3 away. The score therefore stays above zero only if
/// more than half of the tests are refused, or more than three quarters fail in any way. A test that a hop after the
/// node refused changes nothing: neighbours of the node could refuse so that it passes. Unclear tests alone count only
/// if they went over several other nodes, each of which serves: a few failing neighbours make no node's score grave.
///
/// Exits can drop the builds that come from one middle, and it cannot be told from the middle's doing. So a middle must
/// also have failed with the exits of four operators, or half of all, and of more than it has served with: exits of
/// fewer operators, however much weight they have, put out none. Nor do any two nodes of a small network
/// (``TestPairs``).
struct Trouble: Hashable, Sendable {
    /// The score from which it is grave, and the largest score.
    private static let grave = 24, most = 48
    /// The least number of other nodes over which unclear tests must have gone to count.
    static let leastOthers = 4
    private(set) var score = 0
    /// The part of the score that comes from the node's own refusals.
    private var refusals = 0
    /// Other nodes that unclear tests went over since the score was zero, up to the needed number.
    private var others: Set<NodeID> = []
    /// Whether the last test with an exit of each operator was passed, since the score was zero.
    private var served: [Bytes32: Bool] = [:]
    /// How many operators are remembered, and with how many operators' exits it must have failed, if there are as many.
    private static let maximumOperators = 256, operators = 4
    /// Since when the score has been above zero.
    private var since: Instant?
    /// The last tests by the nodes that they went over, in a small network.
    private var pairs = TestPairs()

    /// Notes what came of a test over `nodes`, as a middle before an exit of `owner`; `isSmall` says that the network
    /// has few nodes.
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

    /// With the exits of how many operators a middle must have failed, if exits have `operators`.
    static func needed(of operators: Int) -> Int { min(Self.operators, (operators + 1) / 2) }

    /// Whether the score has been grave for longer than `time`, so that the node is at fault; exits have `operators`.
    ///
    /// Unclear tests must have gone over `leastOthers` other nodes.
    func isGrave(
        for time: TimeSpan, operators: Int = 0, leastOthers: @autoclosure () -> Int = Self.leastOthers, now: Instant
    ) -> Bool {
        let good = served.count { $0.value }
        let bad = served.count - good
        return score >= Self.grave
            && (refusals >= Self.grave || others.count >= leastOthers() && !pairs.areTwoOthersSuspect)
            && (served.isEmpty || bad > good) && bad >= Self.needed(of: operators)
            && since.map { now - $0 >= time } ?? false
    }
}

extension Tester {
    /// Whether tests as a middle can show that a node does not serve: they go over `nodes` others, and `operators` have
    /// the last hops, of `all` that have exits.
    public static func canJudge(over nodes: Int, before operators: Int, of all: Int) -> Bool {
        nodes >= Trouble.leastOthers && operators >= Trouble.needed(of: all)
    }
}

/// The tests of a node that were not passed, as first hop and as a middle.
///
/// They are kept apart from its record, which is copied often and has no reference in it.
struct Troubles: Hashable, Sendable {
    var shown = Trouble(), hidden = Trouble()
}

/// A node's knowledge of another from its own tests.
public struct TestRecord: Hashable, Sendable {
    /// The failures that count: each failed test adds one, each passed test takes one away.
    public internal(set) var marks = 0
    /// Passed tests since the last failed one.
    public internal(set) var passes = 0
    /// When the last test with a result ended.
    public internal(set) var lastTest: Instant
    /// When the last test was passed; nil: never.
    public internal(set) var lastPass: Instant?
    /// The measured capacity in 1,000 bytes a second; nil: not measured yet.
    public internal(set) var capacity: UInt32?
    /// When that was measured.
    public internal(set) var measured: Instant?
    /// When it must be tested again out of turn; nil: in its turn.
    var retry: Instant?
    /// Tests out of turn since the last passed one; the wait for the next grows with them.
    var retries = 0
    /// Whether the last test with a result was not passed.
    var isFailing = false
    /// How many tests of random picks the tester had made when the first of these failures was found.
    var picksBefore: UInt64 = 0
    /// When the last test ended, with or without a result, and whether it had the node as a middle.
    var lastEnd = Instant(nanoseconds: 0)
    var wasHidden = false

    /// Whether the last test was not passed; the next one is then as simple as possible.
    public var isInDoubt: Bool { marks > 0 || retries > 0 }
}

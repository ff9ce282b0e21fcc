public import Wire

/// Asking nodes of different operators for all descriptors, until it is settled what is down and not withheld.
///
/// What none of them has a descriptor of counts as down when it is settled. That takes the answers of three operators' nodes
/// while most of the network is known. To find that more than a fifth of it is down, it takes seven, or all that can be asked if
/// these are half of the network's operators. So one source, or a few friends, cannot hide the rest of a network, and a small
/// network of which some nodes are down settles as soon as all have been tried.
///
/// A value without a clock, a socket or a thread. One operator is asked by one node at a time; if that does not answer, by another.
public struct Inquiry: Sendable {
    /// How many operators' answers settle it while most of the network is known.
    public static let few = 3
    /// How many do if less is.
    public static let many = 7
    /// How many nodes are asked at once.
    public static let parallel = 3
    /// How many nodes are asked in all, so that those that do not answer cannot keep it going.
    public static let limit = 32
    /// After how long another node is asked beside one that does not answer.
    public static let slow = TimeSpan.seconds(4)
    /// After how long one that does not answer is not waited for.
    public static let patience = TimeSpan.seconds(30)

    /// What has come of it.
    public enum Outcome: Sendable {
        /// Answers are awaited.
        case open
        /// What nobody has is down.
        case settled
        /// All that could be asked are too few to say so.
        case tooFew
    }

    private struct Candidate: Sendable {
        let node: NodeID
        let owner: Bytes32
    }

    private var candidates: [Candidate] = []
    private var offered: Set<NodeID> = []
    private var pending: [NodeID: (owner: Bytes32, since: Instant)] = [:]
    private var answered: Set<Bytes32> = []
    private var askedCount = 0

    /// Nobody was asked yet.
    public init() {}

    /// How many operators' nodes have answered.
    public var answers: Int { answered.count }
    /// How many nodes were asked.
    public var asked: Int { askedCount }

    /// Adds a node that can be asked, behind those before; `owner` is its operator.
    public mutating func offer(_ node: NodeID, owner: Bytes32) {
        guard offered.count < Snapshot.maximumNodes, offered.insert(node).inserted else { return }
        candidates.append(Candidate(node: node, owner: owner))
    }

    /// How many operators' answers are needed, where `coverage` is what is known without regard to what is down.
    ///
    /// `wantsMany` asks for as many as if little were known, for another reason.
    public static func goal(_ coverage: Coverage, wantsMany: Bool = false) -> Int {
        coverage.isEnough && !wantsMany ? few : many
    }

    /// A node to ask now, which counts as asked; nil when `goal` are or may answer soon, or none is left.
    ///
    /// No more are asked than are needed: each learns this machine's address.
    public mutating func next(at now: Instant, goal: Int = Inquiry.many) -> NodeID? {
        let awaited = pending.values.count { now - $0.since < Self.slow }
        guard askedCount < Self.limit, awaited < min(Self.parallel, goal - answered.count) else { return nil }
        let busy = answered.union(pending.values.map(\.owner))
        guard let place = candidates.firstIndex(where: { !busy.contains($0.owner) }) else { return nil }
        let chosen = candidates.remove(at: place)
        pending[chosen.node] = (chosen.owner, now)
        askedCount += 1
        return chosen.node
    }

    /// A node that was asked has answered whole; what it brought is taken in already.
    public mutating func answered(_ node: NodeID) {
        guard let asked = pending.removeValue(forKey: node) else { return }
        answered.insert(asked.owner)
    }

    /// A node that was asked will not answer, or not whole.
    public mutating func failed(_ node: NodeID) { pending[node] = nil }

    /// What has come of it, where `operators` is how many the network has and `coverage` what is known without regard to what is down.
    public func outcome(_ coverage: Coverage, operators: Int, wantsMany: Bool = false, at now: Instant) -> Outcome {
        let goal = Self.goal(coverage, wantsMany: wantsMany)
        if answered.count >= min(goal, max(1, operators)) { return .settled }
        guard pending.values.allSatisfy({ now - $0.since >= Self.patience }) else { return .open }
        let busy = answered.union(pending.values.map(\.owner))
        if askedCount < Self.limit, candidates.contains(where: { !busy.contains($0.owner) }) { return .open }
        if coverage.isEnough { return answered.isEmpty ? .tooFew : .settled }
        return answered.count >= min(Self.many, (operators + 1) / 2) && !answered.isEmpty ? .settled : .tooFew
    }
}

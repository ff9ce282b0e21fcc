public import Wire

/// A client's questions to nodes of several operators for all descriptors, before it decides which nodes are down.
///
/// When the inquiry is settled, the nodes of which nobody has a descriptor count as down. This takes the answers of
/// three operators' nodes if most of the network is known then, otherwise of seven; of all operators if there are
/// fewer. If no more nodes can be asked, one answer is enough if most of the network is known; otherwise the answers
/// must be from at least half of the operators. So one source, or a few colluding ones, cannot hide the rest of a
/// network. A small network in which some nodes are down is settled as soon as all have been tried.
public struct Inquiry: Sendable {
    /// The number of operators' answers that settle it if most of the network is known.
    public static let few = 3
    /// The number of operators' answers that settle it otherwise.
    public static let many = 7
    /// The number of nodes that are asked at once.
    public static let parallel = 3
    /// The maximum number of nodes that are asked, so that silent nodes cannot prolong it.
    public static let limit = 32
    /// The time without an answer after which another node is asked as well.
    public static let slow = TimeSpan.seconds(4)
    /// The time after which a missing answer is no longer awaited.
    public static let patience = TimeSpan.seconds(30)

    /// The state of the inquiry.
    public enum Outcome: Sendable {
        /// Answers are missing.
        case open
        /// The nodes of which nobody has a descriptor are down.
        case settled
        /// Too few nodes could be asked to decide.
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

    /// An inquiry without questions.
    public init() {}

    /// The number of operators whose nodes have answered.
    public var answers: Int { answered.count }
    /// The number of nodes that were asked.
    public var asked: Int { askedCount }

    /// Adds a node to ask after the previous ones; `owner` is its operator.
    public mutating func offer(_ node: NodeID, owner: Bytes32) {
        guard offered.count < Snapshot.maximumNodes, offered.insert(node).inserted else { return }
        candidates.append(Candidate(node: node, owner: owner))
    }

    /// The number of operators' answers that are needed; `coverage` ignores which nodes are down.
    ///
    /// With `wantsMany`, as many are needed as if little were known.
    public static func goal(_ coverage: Coverage, wantsMany: Bool = false) -> Int {
        coverage.isEnough && !wantsMany ? few : many
    }

    /// A node to ask now, which then counts as asked; nil if enough have answered or may soon, or if none is left.
    ///
    /// It asks no more nodes than needed, because each one learns this machine's address.
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

    /// Records that a node has answered completely; its descriptors have been added already.
    public mutating func answered(_ node: NodeID) {
        guard let asked = pending.removeValue(forKey: node) else { return }
        answered.insert(asked.owner)
    }

    /// Records that a node will not answer, or not completely.
    public mutating func failed(_ node: NodeID) { pending[node] = nil }

    /// The state of the inquiry, in a network of so many `operators`; `coverage` ignores which nodes are down.
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

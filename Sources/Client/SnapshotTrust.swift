internal import Directory
internal import Wire

/// The trusted snapshot, and the nodes that have it too.
struct SnapshotTrust {
    /// The chain of snapshots up to the trusted one.
    private(set) var chain: SnapshotChain
    /// How many operators have staked nodes.
    private(set) var operatorCount = 0
    /// The operators of the network file's nodes in its own snapshot, which no later snapshot can change.
    private let firstOperators: [NodeID: Bytes32]
    /// The nodes that were asked and have the same snapshot.
    private(set) var witnesses: Set<NodeID> = []
    /// The nodes that have named another snapshot of the same height, or another list of the same round.
    private var contradictions: Set<Contradiction> = []
    /// When a contradiction may have other nodes asked again.
    var nextDoubt = Instant(nanoseconds: 0)
    /// The nodes that have a newer snapshot but no update to it from any of this client's snapshots.
    private(set) var unreachable: Set<NodeID> = []
    /// When a node that is not a guard is next asked which snapshot it has.
    var nextIndependentCheck: Instant
    /// The time in seconds between two such questions.
    static let checkPause: ClosedRange<Int64> = 43_200...129_600
    /// The name of the seconds until then in the store.
    ///
    /// They count down over restarts. Otherwise a client that runs for less than twelve hours at a time would never ask.
    static let keptName = "independent check"

    init(_ chain: SnapshotChain, _ network: NetworkFile, nextIndependentCheck: Instant) {
        self.chain = chain
        let first = network.snapshot.snapshot
        let entries = network.bootstrap.compactMap { first.entry(of: $0.node) }.filter(\.isStaked)
        firstOperators = Dictionary(entries.map { ($0.node, $0.operatorID) }, uniquingKeysWith: { first, _ in first })
        self.nextIndependentCheck = nextIndependentCheck
        count()
    }

    /// Trusts a newer snapshot, which no node has confirmed yet.
    mutating func follow(_ chain: SnapshotChain) {
        self.chain = chain
        (witnesses, contradictions, unreachable) = ([], [], [])
        count()
    }

    /// Notes that a node has the same snapshot.
    mutating func confirm(_ node: NodeID) { witnesses.insert(node) }

    /// What a node has another one of.
    enum Subject { case snapshot, list }

    private struct Contradiction: Hashable {
        let subject: Subject
        let node: NodeID
    }

    /// Notes that a node has another snapshot or list; returns whether that is new since the last snapshot.
    mutating func contradict(_ subject: Subject, _ node: NodeID) -> Bool {
        contradictions.insert(Contradiction(subject: subject, node: node)).inserted
    }

    /// Whether nodes of two operators (or of all, if there is one) have another snapshot of the same height, or another
    /// list of the same round.
    ///
    /// Their words are not signed, so one operator alone must not raise an alarm. The trusted snapshot may be false, and
    /// leave others out or give their nodes to one operator. So the operators in the network file's snapshot count too.
    var isContradicted: Bool {
        let nodes = contradictions.map(\.node)
        let count = Set(nodes.compactMap(stakedOperator)).count
        if count > 0 && count >= min(2, operatorCount) { return true }
        return Set(nodes.compactMap(operatorID)).count > 1 || Set(nodes.compactMap { firstOperators[$0] }).count > 1
    }

    /// A node's operator in the trusted snapshot; nil if it is not staked there.
    private func stakedOperator(of node: NodeID) -> Bytes32? {
        chain.snapshot.entry(of: node).flatMap { $0.isStaked ? $0.operatorID : nil }
    }

    /// The operator as which a node's word counts: that of the trusted snapshot, or else of the network file's.
    private func operatorID(of node: NodeID) -> Bytes32? { stakedOperator(of: node) ?? firstOperators[node] }

    /// Whether the word of `other` may count as that of another operator than the one of `node`.
    func isApart(_ other: NodeID, from node: NodeID) -> Bool {
        guard let operatorID = operatorID(of: other) else { return false }
        if operatorID != self.operatorID(of: node) { return true }
        guard let first = firstOperators[other], let others = firstOperators[node] else { return false }
        return first != others
    }

    /// Notes that a node has a newer snapshot but no update to it; returns whether it is the first such node.
    mutating func isBehind(_ node: NodeID) -> Bool {
        unreachable.insert(node)
        return unreachable.count == 1
    }

    /// The seconds that were kept in `bytes`; nil if none were.
    static func left(kept bytes: [UInt8]?) -> Int64? {
        guard let bytes else { return nil }
        var reader = ByteReader(bytes.rawSpan)
        guard let left = try? reader.u64(), reader.remaining == 0 else { return nil }
        return min(Int64(clamping: left), checkPause.upperBound)
    }

    private mutating func count() {
        operatorCount = Set(chain.snapshot.entries.lazy.filter(\.isStaked).map(\.operatorID)).count
    }
}

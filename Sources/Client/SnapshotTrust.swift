internal import Directory
internal import Wire

/// The trusted snapshot, and the nodes that have it too.
struct SnapshotTrust {
    /// The chain of snapshots up to the trusted one.
    private(set) var chain: SnapshotChain
    /// How many operators have staked nodes.
    private(set) var operatorCount = 0
    /// The nodes that were asked and have the same snapshot.
    private(set) var witnesses: Set<NodeID> = []
    /// Whether a node has another snapshot of the same height, or another list of the same round.
    var isContradicted = false
    /// The nodes that have a newer snapshot but no update to it from any of this client's snapshots.
    private(set) var unreachable: Set<NodeID> = []
    /// When a node that is not a guard is next asked which snapshot it has.
    var nextIndependentCheck: Instant

    init(_ chain: SnapshotChain, nextIndependentCheck: Instant) {
        self.chain = chain
        self.nextIndependentCheck = nextIndependentCheck
        count()
    }

    /// Trusts a newer snapshot, which no node has confirmed yet.
    mutating func follow(_ chain: SnapshotChain) {
        self.chain = chain
        (witnesses, isContradicted, unreachable) = ([], false, [])
        count()
    }

    /// Notes that a node has the same snapshot.
    mutating func confirm(_ node: NodeID) { witnesses.insert(node) }

    /// Notes that a node has a newer snapshot but no update to it; returns whether it is the first such node.
    mutating func isBehind(_ node: NodeID) -> Bool {
        unreachable.insert(node)
        return unreachable.count == 1
    }

    private mutating func count() {
        operatorCount = Set(chain.snapshot.entries.lazy.filter(\.isStaked).map(\.operatorID)).count
    }
}

internal import Directory
internal import Wire

/// The snapshot that the client trusts, and who else has it.
struct SnapshotTrust {
    /// The chain of snapshots up to the trusted one.
    private(set) var chain: SnapshotChain
    /// How many operators have staked nodes.
    private(set) var operatorCount = 0
    /// The nodes that have the same snapshot, as far as they were asked.
    private(set) var witnesses: Set<NodeID> = []
    /// Whether a node has another snapshot of the same height, or another list of the same round.
    var isContradicted = false
    /// When a node that is no guard is asked next which snapshot it has.
    var nextStranger: Instant

    /// Begins with `chain`.
    init(_ chain: SnapshotChain, nextStranger: Instant) {
        self.chain = chain
        self.nextStranger = nextStranger
        count()
    }

    /// Goes on with a newer snapshot, which nobody has confirmed yet.
    mutating func follow(_ chain: SnapshotChain) {
        self.chain = chain
        (witnesses, isContradicted) = ([], false)
        count()
    }

    /// A node has the same snapshot.
    mutating func confirm(_ node: NodeID) { witnesses.insert(node) }

    private mutating func count() {
        operatorCount = Set(chain.snapshot.entries.lazy.filter(\.isStaked).map(\.operatorID)).count
    }
}

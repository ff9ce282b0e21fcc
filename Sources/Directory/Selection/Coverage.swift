public import Wire

/// How much of the network's weight a client has descriptors of.
///
/// A client chooses only when it knows most of the network: otherwise its source of descriptors chooses for it, by what it leaves
/// out. A node that is known to be down counts for nothing. A node without a descriptor may be an exit, so it counts among the exits
/// that are lacking. An operator counts for its share of the choices at most.
public struct Coverage: Sendable {
    /// The least part of the weight of all nodes, in percent.
    public static let leastNodes = 80.0
    /// The least part of the weight of all exits, in percent.
    public static let leastExits = 60.0

    /// Of the nodes that count how much is known, in percent.
    public let nodes: Double
    /// Of the exits that count how much is known at least, in percent.
    public let exits: Double
    /// The staked nodes without a descriptor that are not known to be down, and those without one in all.
    public let lacking: Int, missing: Set<NodeID>

    /// What is known at `now` of the staked nodes of `snapshot`, of which `down` are known to be down.
    public init(
        of snapshot: Snapshot, descriptors: DescriptorStore, down: Set<NodeID> = [], operatorSharePercent: Int = 100,
        at now: UnixTime
    ) {
        var owners: [Bytes32: Double] = [:]
        var total = 0.0
        for entry in snapshot.entries where entry.isStaked {
            owners[entry.operatorID, default: 0] += Double(max(1, entry.weight))
            total += Double(max(1, entry.weight))
        }
        let limit = total * max(Double(operatorSharePercent) / 100, 2 / Double(max(1, owners.count)))
        var (known, knownExits, open) = (0.0, 0.0, 0.0)
        var missing: Set<NodeID> = []
        var lacking = 0
        for entry in snapshot.entries where entry.isStaked {
            let owned = owners[entry.operatorID] ?? 1
            let weight = Double(max(1, entry.weight)) * min(1, limit / owned)
            if let found = descriptors.descriptor(of: entry.node, at: now)?.descriptor {
                known += weight
                if found.roles.contains(.exit) { knownExits += weight }
            } else {
                missing.insert(entry.node)
                guard !down.contains(entry.node) else { continue }
                open += weight
                lacking += 1
            }
        }
        (self.missing, self.lacking) = (missing, lacking)
        nodes = known + open > 0 ? known / (known + open) * 100 : 0
        exits = knownExits + open > 0 ? knownExits / (knownExits + open) * 100 : 100
    }

    /// Whether a client may choose by it.
    public var isEnough: Bool { nodes >= Self.leastNodes && exits >= Self.leastExits }
}

public import Wire

/// The share of the network's weight whose descriptors a client has.
///
/// A client builds paths only if it knows most of the network: otherwise the source of its descriptors would choose the
/// nodes for it by leaving out others. A node known to be down does not count. A node without a descriptor may be an
/// exit, so it counts as a missing exit. An operator's weight counts at most up to its share.
public struct Coverage: Sendable {
    /// The smallest sufficient share of the weight of all nodes, in percent.
    public static let leastNodes = 80.0
    /// The smallest sufficient share of the weight of all exits, in percent.
    public static let leastExits = 60.0

    /// The known share of the nodes' weight, in percent.
    public let nodes: Double
    /// The smallest possible known share of the exits' weight, in percent.
    public let exits: Double
    /// `missing` are the staked nodes without a descriptor; `lacking` is the number of those that are not known to be
    /// down.
    public let lacking: Int, missing: Set<NodeID>

    /// The coverage at `now` of the staked nodes of `snapshot`; the nodes in `down` are known to be down.
    public init(
        of snapshot: Snapshot, descriptors: DescriptorStore, down: Set<NodeID> = [], operatorSharePercent: Int = 100,
        at now: UnixTime
    ) {
        let staked = snapshot.entries.filter(\.isStaked)
        let weights = Self.weights(of: staked, operatorSharePercent: operatorSharePercent)
        var (known, knownExits, open) = (0.0, 0.0, 0.0)
        var missing: Set<NodeID> = []
        var lacking = 0
        for (entry, weight) in zip(staked, weights) {
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

    /// The weights of `entries`, 1 at least, scaled down so that no operator has more than its share of their sum.
    public static func weights(of entries: [Snapshot.Entry], operatorSharePercent: Int) -> [Double] {
        var numbers: [Bytes32: Int] = [:]
        let operators = entries.map { entry in
            let number = numbers[entry.operatorID] ?? numbers.count
            numbers[entry.operatorID] = number
            return number
        }
        return CandidateTable.capped(
            entries.map { Double(max(1, $0.weight)) }, operators: operators, count: numbers.count,
            share: Double(operatorSharePercent) / 100)
    }

    /// Whether it suffices to build paths.
    public var isEnough: Bool { nodes >= Self.leastNodes && exits >= Self.leastExits }
}

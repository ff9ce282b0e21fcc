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
        let staked = snapshot.entries.filter(\.isStaked)
        var numbers: [Bytes32: Int] = [:]
        let operators = staked.map { entry in
            let number = numbers[entry.operatorID] ?? numbers.count
            numbers[entry.operatorID] = number
            return number
        }
        let weights = CandidateTable.capped(
            staked.map { Double(max(1, $0.weight)) }, operators: operators, count: numbers.count,
            share: Double(operatorSharePercent) / 100)
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

    /// Whether a client may choose by it.
    public var isEnough: Bool { nodes >= Self.leastNodes && exits >= Self.leastExits }
}

internal import OnionCrypto
public import Wire

/// A node that may hold shards.
public struct PlacedNode: Hashable, Sendable {
    /// The node.
    public let node: NodeID
    /// The node's operator; a swarm has one node of each operator as long as there are enough.
    public let operatorID: Bytes32
    /// Eight bytes that the node could not choose.
    public let placement: UInt64

    /// The node with its placement.
    public init(node: NodeID, operatorID: Bytes32, placement: UInt64) {
        self.node = node
        self.operatorID = operatorID
        self.placement = placement
    }
}

/// Which nodes hold which shard, computed with integers only: everyone with the same list gets the same map.
public struct SwarmMap: Sendable {
    /// How many shards there are: a power of two from 64 to 65,536.
    public let shardCount: Int
    /// How many nodes each swarm has: the network's swarm size, or all nodes if there are fewer.
    public let size: Int
    /// How many replicas are a majority.
    public var majority: Int { size / 2 + 1 }

    private let network: Bytes32
    private let nodes: [NodeID]
    /// The swarms one after the other, each with `size` positions in `nodes`.
    private let members: [UInt16]
    private let positions: [NodeID: UInt16]

    /// The map of `nodes`, in any order; nil if a number is not allowed.
    ///
    /// Of equal ids the first counts. It takes `shards` × nodes mixes: tens of milliseconds for a network of thousands.
    public init?(network: Bytes32, shards: Int, swarmSize: Int, nodes: [PlacedNode]) {
        guard Self.allows(shards: shards, swarmSize: swarmSize, nodes: nodes.count) else { return nil }
        let sorted = Self.sorted(nodes)
        self.network = network
        shardCount = shards
        size = min(swarmSize, sorted.count)
        self.nodes = sorted.map(\.node)
        var positions: [NodeID: UInt16] = [:]
        for (index, node) in sorted.enumerated() { positions[node.node] = UInt16(index) }
        self.positions = positions
        var choice = SwarmChoice(sorted, size: size)
        var members: [UInt16] = []
        members.reserveCapacity(shards * size)
        for shard in 0..<shards {
            members += choice.swarm(seed: Self.seed(UInt32(shard), network: network))
        }
        self.members = members
    }

    /// The map of the staked nodes of `snapshot`, or of all its nodes; nil if a number is not allowed.
    public init?(_ snapshot: Snapshot, shards: Int, swarmSize: Int, withSuspended: Bool = false) {
        self.init(
            network: snapshot.network, shards: shards, swarmSize: swarmSize,
            nodes: withSuspended ? Self.placed(snapshot.entries) : Self.staked(snapshot))
    }

    fileprivate static func allows(shards: Int, swarmSize: Int, nodes: Int) -> Bool {
        (64...SwarmLimits.shards).contains(shards) && shards & (shards - 1) == 0
            && (3...SwarmLimits.swarmSize).contains(swarmSize) && swarmSize % 2 == 1 && nodes <= Int(UInt16.max)
    }

    /// The nodes by ascending id, each once.
    fileprivate static func sorted(_ nodes: [PlacedNode]) -> [PlacedNode] {
        var seen: Set<NodeID> = []
        return nodes.filter { seen.insert($0.node).inserted }.sorted { $0.node < $1.node }
    }

    fileprivate static func staked(_ snapshot: Snapshot) -> [PlacedNode] {
        placed(snapshot.entries.filter(\.isStaked))
    }

    private static func placed(_ entries: [Snapshot.Entry]) -> [PlacedNode] {
        entries.map { PlacedNode(node: $0.node, operatorID: $0.operatorID, placement: $0.placement) }
    }

    /// The value that is mixed with all nodes' placements for a shard.
    static func seed(_ shard: UInt32, network: Bytes32) -> UInt64 {
        let digest = Prefix.shardSeed.digest(capacity: 36) { writer in
            writer.bytes32(network)
            writer.u32(shard)
        }
        return UInt64(leading: digest).byteSwapped
    }

    /// The finaliser of SplitMix64.
    static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// The shard of a box: the first bits of a hash.
    public func shard(of box: Bytes32) -> UInt16 { Self.shard(of: box, of: shardCount, network: network) }

    fileprivate static func shard(of box: Bytes32, of count: Int, network: Bytes32) -> UInt16 {
        let digest = Prefix.shard.digest(capacity: 64) { writer in
            writer.bytes32(network)
            writer.bytes32(box)
        }
        return UInt16(UInt64(leading: digest) >> UInt64(64 - count.trailingZeroBitCount))
    }

    /// The nodes of a shard in their order; none for a shard that does not exist.
    public func swarm(_ shard: UInt16) -> [NodeID] {
        guard Int(shard) < shardCount else { return [] }
        return members[Int(shard) * size..<(Int(shard) + 1) * size].map { nodes[Int($0)] }
    }

    /// The position of `node` in a shard's swarm; nil if it is not a replica.
    public func position(of node: NodeID, in shard: UInt16) -> Int? {
        guard Int(shard) < shardCount, let position = positions[node] else { return nil }
        let swarm = members[Int(shard) * size..<(Int(shard) + 1) * size]
        return swarm.firstIndex(of: position).map { $0 - swarm.startIndex }
    }

    /// The shards that `node` holds, ascending.
    public func shards(of node: NodeID) -> [UInt16] {
        guard let position = positions[node], size > 0 else { return [] }
        var shards: [UInt16] = []
        for (index, member) in members.enumerated() where member == position { shards.append(UInt16(index / size)) }
        return shards
    }

    /// Whether `node` is one of the nodes of the map.
    public func contains(_ node: NodeID) -> Bool { positions[node] != nil }

    /// All nodes of the map, ascending.
    public var allNodes: [NodeID] { nodes }
}

/// The replicas of one box by one snapshot, computed without the map of all shards: what a client needs.
public struct BoxSwarm: Hashable, Sendable {
    /// The box.
    public let box: Bytes32
    /// The height of the snapshot whose nodes these are.
    public let height: UInt64
    /// The box's shard.
    public let shard: UInt16
    /// The nodes of the shard in their order.
    public let members: [NodeID]
    /// How many replicas are a majority.
    public var majority: Int { members.count / 2 + 1 }

    /// The swarm of `box` among the staked nodes of `snapshot`; nil if a number is not allowed, or no node is staked.
    public init?(of box: Bytes32, by snapshot: Snapshot, shards: Int, swarmSize: Int) {
        let nodes = SwarmMap.staked(snapshot)
        guard SwarmMap.allows(shards: shards, swarmSize: swarmSize, nodes: nodes.count), !nodes.isEmpty else {
            return nil
        }
        let sorted = SwarmMap.sorted(nodes)
        var choice = SwarmChoice(sorted, size: min(swarmSize, sorted.count))
        shard = SwarmMap.shard(of: box, of: shards, network: snapshot.network)
        members = choice.swarm(seed: SwarmMap.seed(UInt32(shard), network: snapshot.network)).map {
            sorted[Int($0)].node
        }
        self.box = box
        height = snapshot.height
    }
}

/// Chooses swarms from a list of nodes, one after the other.
private struct SwarmChoice {
    private let placements: [UInt64]
    /// The operator of each node, as a number.
    private let operators: [Int]
    private let size: Int
    private let operatorCount: Int

    init(_ nodes: [PlacedNode], size: Int) {
        placements = nodes.map(\.placement)
        var numbers: [Bytes32: Int] = [:]
        operators = nodes.map { node in
            let number = numbers[node.operatorID] ?? numbers.count
            numbers[node.operatorID] = number
            return number
        }
        self.size = size
        operatorCount = numbers.count
    }

    private struct Seat {
        var score: UInt64
        var index: UInt16
        var operatorNumber: Int
    }

    /// The best node of each of the best operators; if there are too few operators, then the best of the other nodes.
    mutating func swarm(seed: UInt64) -> [UInt16] {
        let first = best(seed: seed, count: min(size, operatorCount), onePerOperator: true, without: [])
        guard first.count < size else { return first }
        return first + best(seed: seed, count: size - first.count, onePerOperator: false, without: Set(first))
    }

    /// The best nodes by descending score, and at equal scores by ascending index, which is the order of the ids.
    private func best(seed: UInt64, count: Int, onePerOperator: Bool, without: Set<UInt16>) -> [UInt16] {
        var seats: [Seat] = []
        seats.reserveCapacity(count + 1)
        for index in placements.indices {
            let score = SwarmMap.mix(placements[index] ^ seed)
            // Of equal scores the later node has the higher id, so it comes second.
            if seats.count == count, let last = seats.last, score <= last.score { continue }
            let number = UInt16(index)
            if !without.isEmpty, without.contains(number) { continue }
            if onePerOperator, let own = seats.firstIndex(where: { $0.operatorNumber == operators[index] }) {
                if seats[own].score >= score { continue }
                seats.remove(at: own)
            }
            let place = seats.firstIndex { $0.score < score } ?? seats.count
            seats.insert(Seat(score: score, index: number, operatorNumber: operators[index]), at: place)
            if seats.count > count { seats.removeLast() }
        }
        return seats.map(\.index)
    }
}

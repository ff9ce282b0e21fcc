import OnionCrypto
import SeededRandom
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// Placement: the nodes that hold each shard.
@Suite struct SwarmMapTests {
    /// `count` nodes, assigned to `operators` operators in turn.
    private static func nodes(_ count: Int, operators: Int, seed: UInt64 = 1) -> [PlacedNode] {
        var random = SeededGenerator(seed: seed)
        func id(_ first: UInt8, _ number: Int) -> Bytes32 {
            var writer = ByteWriter()
            writer.u64(random.next())
            writer.u64(UInt64(number))
            writer.zeros(15)
            writer.u8(first)
            return Bytes32(copying: writer.bytes.rawSpan)
        }
        let owners = (0..<operators).map { id(1, $0) }
        return (0..<count).map {
            PlacedNode(node: NodeID(id(2, $0)), operatorID: owners[$0 % operators], placement: random.next())
        }
    }

    private static func map(_ nodes: [PlacedNode], shards: Int = 256, size: Int = 7) throws -> SwarmMap {
        try #require(SwarmMap(network: network, shards: shards, swarmSize: size, nodes: nodes))
    }

    /// The definition to the letter: sort all by score and id, take the first of each operator, then the skipped ones.
    private static func slow(_ nodes: [PlacedNode], shard: UInt32, size: Int) -> [NodeID] {
        let seed = SwarmMap.seed(shard, network: network)
        let sorted = nodes.sorted {
            let (a, b) = (SwarmMap.mix($0.placement ^ seed), SwarmMap.mix($1.placement ^ seed))
            return a == b ? $0.node < $1.node : a > b
        }
        var owners: Set<Bytes32> = []
        let first = sorted.filter { owners.insert($0.operatorID).inserted }.prefix(size)
        let rest = sorted.filter { node in !first.contains { $0.node == node.node } }
        return (first + rest.prefix(size - first.count)).map(\.node)
    }

    @Test(
        "The map agrees with its definition", arguments: [(40, 40), (40, 9), (40, 3), (5, 5), (7, 1), (1, 1), (0, 1)])
    func agrees(count: Int, operators: Int) throws {
        var nodes = Self.nodes(count, operators: operators)
        // Ids decide between equal scores.
        if count > 2 {
            nodes[1] = PlacedNode(
                node: nodes[1].node, operatorID: nodes[1].operatorID, placement: nodes[0].placement)
        }
        let map = try Self.map(nodes.shuffled(), shards: 64)
        #expect(map.size == min(7, count) && map.majority == min(7, count) / 2 + 1)
        for shard in 0..<64 as Range<UInt16> {
            let swarm = map.swarm(shard)
            #expect(swarm == Self.slow(nodes, shard: UInt32(shard), size: min(7, count)))
            for (position, node) in swarm.enumerated() {
                #expect(map.position(of: node, in: shard) == position && map.shards(of: node).contains(shard))
            }
        }
        #expect(map.swarm(64).isEmpty && map.shard(of: network) < 64)
        #expect(map.position(of: NodeID(network), in: 0) == nil && map.shards(of: NodeID(network)).isEmpty)
    }

    @Test("Shards are spread evenly over nodes, and boxes over shards")
    func spread() throws {
        let nodes = Self.nodes(64, operators: 64)
        let map = try Self.map(nodes, shards: 1_024)
        let counts = nodes.map { map.shards(of: $0.node).count }
        // 112 on average with a standard deviation of about 10.
        #expect(counts.reduce(0, +) == 1_024 * 7)
        #expect(counts.allSatisfy { (65...165).contains($0) }, "\(counts)")
        var boxes = [Int](repeating: 0, count: 1_024)
        for number in 0..<8_192 as Range<UInt64> {
            var writer = ByteWriter()
            writer.u64(number)
            writer.zeros(24)
            boxes[Int(map.shard(of: Bytes32(copying: writer.bytes.rawSpan)))] += 1
        }
        #expect(boxes.allSatisfy { (0...28).contains($0) } && boxes.count { $0 == 0 } < 10)
    }

    @Test("One node that leaves changes its own swarms alone, each by one replica")
    func leaves() throws {
        for operators in [40, 12, 3] {
            let nodes = Self.nodes(40, operators: operators)
            let before = try Self.map(nodes)
            for gone in nodes.indices.prefix(6) {
                var rest = nodes
                let node = rest.remove(at: gone).node
                let after = try Self.map(rest)
                for shard in 0..<256 as Range<UInt16> {
                    let (old, new) = (Set(before.swarm(shard)), Set(after.swarm(shard)))
                    if old.contains(node) {
                        #expect(new.subtracting(old).count == 1 && old.subtracting(new) == [node])
                    } else {
                        #expect(before.swarm(shard) == after.swarm(shard))
                    }
                }
            }
        }
    }

    @Test("A swarm has as many operators as there are, up to its size")
    func operators() throws {
        for operators in [1, 2, 6, 7, 20] {
            let nodes = Self.nodes(40, operators: operators)
            let owner = Dictionary(uniqueKeysWithValues: nodes.map { ($0.node, $0.operatorID) })
            let map = try Self.map(nodes, shards: 64)
            for shard in 0..<64 as Range<UInt16> {
                let swarm = map.swarm(shard)
                #expect(Set(swarm).count == 7)
                #expect(Set(swarm.map { owner[$0] }).count == min(7, operators))
            }
        }
    }

    @Test("SW1: a node's key has no part in where it stands; a placement follows from its block")
    func sw1Placement() throws {
        var nodes = Self.nodes(20, operators: 20)
        let map = try Self.map(nodes, shards: 64)
        let old = nodes[3]
        nodes[3] = PlacedNode(node: NodeID(network), operatorID: old.operatorID, placement: old.placement)
        let other = try Self.map(nodes, shards: 64)
        #expect(map.shards(of: old.node) == other.shards(of: NodeID(network)))
        let placements = Set(
            (0..<100).map { old.node.placement(block: Key($0).publicKey, network: network) })
        #expect(placements.count == 100)
        // Chosen placements give no more seats than random ones: 7 of 20 in each shard.
        let seats = placements.map { placement in
            nodes[3] = PlacedNode(node: old.node, operatorID: old.operatorID, placement: placement)
            return SwarmMap(network: network, shards: 64, swarmSize: 7, nodes: nodes)?.shards(of: old.node).count ?? 0
        }
        // 2,240 are expected, with a standard deviation of 94.
        #expect((1_800...2_700).contains(seats.reduce(0, +)))
    }

    @Test("SW1: the map of a snapshot is that of its staked nodes, by the placements that were signed")
    func sw1OfASnapshot() throws {
        let nodes = Self.nodes(20, operators: 5)
        let entries = nodes.enumerated().map { place, node in
            Snapshot.Entry(
                node: node.node, operatorID: node.operatorID, state: place < 14 ? .staked : .suspended, weight: 1,
                placement: node.placement)
        }
        let snapshot = try #require(
            Snapshot(network: network, height: 1, time: UnixTime(seconds: 1), entries: entries))
        let read = try SignedSnapshot(decoding: SignedSnapshot(snapshot).encoded().rawSpan).snapshot
        let map = try #require(SwarmMap(read, shards: 64, swarmSize: 7))
        let other = try Self.map(Array(nodes.prefix(14)), shards: 64)
        #expect(map.allNodes == other.allNodes)
        for shard in 0..<64 as Range<UInt16> { #expect(map.swarm(shard) == other.swarm(shard)) }
        #expect(SwarmMap(read, shards: 65, swarmSize: 7) == nil)
        // With the suspended nodes, by which a stand-in learns that it is one.
        let all = try #require(SwarmMap(read, shards: 64, swarmSize: 7, withSuspended: true))
        let both = try Self.map(nodes, shards: 64)
        for shard in 0..<64 as Range<UInt16> { #expect(all.swarm(shard) == both.swarm(shard)) }
    }

    @Test func numbersThatAreNotAllowed() {
        let nodes = Self.nodes(3, operators: 3)
        for (shards, size) in [(0, 7), (63, 7), (96, 7), (131_072, 7), (64, 2), (64, 1), (64, 17), (64, 6)] {
            #expect(SwarmMap(network: network, shards: shards, swarmSize: size, nodes: nodes) == nil)
        }
        #expect(SwarmMap(network: network, shards: 64, swarmSize: 3, nodes: nodes + nodes)?.size == 3)
    }
}

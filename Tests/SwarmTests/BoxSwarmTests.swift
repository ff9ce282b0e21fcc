import OnionCrypto
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// The swarm of one box, as a client computes it.
@Suite struct BoxSwarmTests {
    private let box = Key(1).publicKey
    private let keys = (0..<9 as Range<UInt32>).map { Key(1_000 + $0) }

    /// A snapshot of nine nodes, of which these are staked.
    private func snapshot(staked: Range<Int> = 0..<9) throws -> Snapshot {
        let entries = keys.enumerated().map { index, key in
            Snapshot.Entry(
                node: key.node, operatorID: key.publicKey, state: staked.contains(index) ? .staked : .suspended,
                weight: 1, placement: UInt64(leading: key.publicKey))
        }
        return try #require(
            Snapshot(network: network, height: 4, time: UnixTime(seconds: 9), entries: entries))
    }

    @Test("A box's swarm is the one of the map of all shards")
    func sameAsTheMap() throws {
        for (staked, size) in [(0..<9, 5), (0..<9, 15), (2..<4, 7), (3..<4, 3)] {
            let snapshot = try self.snapshot(staked: staked)
            let map = try #require(SwarmMap(snapshot, shards: 256, swarmSize: size))
            for number in 0..<40 as Range<UInt32> {
                let box = Key(number).publicKey
                let swarm = try #require(BoxSwarm(of: box, by: snapshot, shards: 256, swarmSize: size))
                #expect(swarm.shard == map.shard(of: box) && swarm.members == map.swarm(swarm.shard))
                #expect(swarm.majority == map.majority && swarm.height == 4 && swarm.box == box)
            }
        }
    }

    @Test("Without staked nodes, or with numbers that are not allowed, there is no swarm")
    func noSwarm() throws {
        #expect(BoxSwarm(of: box, by: try snapshot(staked: 9..<9), shards: 64, swarmSize: 5) == nil)
        for (shards, size) in [(0, 5), (65, 5), (-64, 5), (64, 4), (64, 17), (1 << 17, 5)] {
            #expect(BoxSwarm(of: box, by: try snapshot(), shards: shards, swarmSize: size) == nil)
        }
    }
}

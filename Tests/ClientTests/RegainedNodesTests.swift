import Directory
import LoopTesting
import Testing
import Wire

@testable import Client

/// Nodes that the others have put out and taken back.
@Suite struct RegainedNodesTests {
    @Test("a client uses a node at once that the others have taken back, however often it failed before")
    func failuresAreForgotten() throws {
        let world = try DirectoryWorld(6)
        let (back, failing) = (world.nodes[4].id, world.nodes[5].id)
        let first = world.network.snapshot.snapshot
        var history = SnapshotHistory(first: first, digest: first.digest)
        for node in world.nodes { node.history = history }
        #expect(world.start())
        let directory = world.directory
        for node in [back, failing] {
            for _ in 0..<8 { directory.health.unreachable(node, at: directory.unixTime) }
        }
        func follow(_ height: UInt64, _ state: Snapshot.State) throws {
            history = try world.history(history, to: height) { entries in
                for index in entries.indices where entries[index].node == back { entries[index].state = state }
            }
            for node in world.nodes { node.history = history }
            // Penalties fade meanwhile, by half in ten minutes.
            #expect(world.loop.run(for: .seconds(7_200)) { directory.trust.chain.snapshot.height == height })
            for node in [back, failing] { directory.health.unreachable(node, at: directory.unixTime) }
        }
        try follow(2, .suspended)
        #expect(directory.health.count(of: back, at: directory.unixTime) > 1)
        try follow(3, .staked)
        #expect(directory.health.count(of: back, at: directory.unixTime) == 1)
        #expect(directory.health.count(of: failing, at: directory.unixTime) > 1)
    }
}

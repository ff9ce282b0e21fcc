import Directory
import EventLoop
import LoopTesting
import Testing
import Wire

@testable import Client

/// What nodes that the user avoids learn of a client.
@Suite struct AvoidedNodesTests {
    /// A reload that avoids the nodes with these numbers.
    private func avoid(_ numbers: [Int], in world: DirectoryWorld) {
        var wanted = world.client.configuration
        wanted.avoided = NodeChoice(nodes: Set(numbers.map { world.nodes[$0].id }))
        world.client.apply(wanted)
    }

    private func run(_ world: DirectoryWorld, seconds: Int64) {
        _ = world.loop.run(for: .seconds(seconds)) { false }
    }

    @Test("P13: an avoided node gets no link, be it a guard, a node of the network file, or one that could vouch")
    func links() throws {
        // Two nodes of the network file are left; the others are known by their descriptors.
        let world = try DirectoryWorld(9, change: { $0.bootstrap = Array($0.bootstrap.prefix(4)) })
        let avoided = [0, 2, 3, 7]
        world.restoreGuards([0, 1])
        avoid(avoided, in: world)
        let directory = world.directory
        #expect(directory.guards.primaries.map(\.node) == [world.nodes[1].id])
        #expect(world.start())
        _ = try directory.select(hops: 3, terminal: .exit(.tcp), avoiding: [])
        for _ in 0..<20 {
            directory.trust.nextIndependentCheck = directory.now
            directory.schedule.next = directory.now
            run(world, seconds: 2)
            directory.inquire()
            directory.vouchOverLinks()
            directory.refetchGuard(world.nodes[0].id)
            run(world, seconds: 2)
        }
        for number in avoided { #expect(world.nodes[number].linkCount == 0, "node \(number)") }
        #expect([1, 4, 5, 6, 8].count { world.nodes[$0].linkCount > 0 } >= 3)
    }

    @Test("P13: a guard that is avoided keeps its place, and another one is in use meanwhile") func guards() throws {
        let world = try DirectoryWorld(8)
        world.restoreGuards([0, 1])
        #expect(world.start())
        let directory = world.directory
        avoid([0], in: world)
        #expect(world.loop.run(for: .seconds(60)) { directory.mayChoose })
        _ = try directory.select(hops: 3, terminal: .exit(.tcp), avoiding: [])
        let inUse = directory.guards.primaries.map(\.node)
        #expect(inUse.count == 2 && !inUse.contains(world.nodes[0].id) && inUse.contains(world.nodes[1].id))
        #expect(!directory.drawsGuards)
        avoid([], in: world)
        #expect(directory.guards.primaries.map(\.node) == [world.nodes[0].id, world.nodes[1].id])
    }

    @Test(
        "P13, s05: a client whose guards are avoided asks several operators before it draws others",
        arguments: [[0], [0, 1]])
    func newGuards(avoided: [Int]) throws {
        let world = try DirectoryWorld(8)
        world.restoreGuards([0, 1])
        avoid(avoided, in: world)
        let directory = world.directory
        #expect(directory.drawsGuards && !directory.mayChoose)
        #expect(world.start())
        #expect(directory.rounds.settled != nil && directory.mayChoose)
        _ = try directory.select(hops: 3, terminal: .exit(.tcp), avoiding: [])
        #expect(directory.guards.primaries.count == 2 && !directory.drawsGuards)
    }

    @Test("P13: a client whose user avoids all nodes that it could ask asks nobody, and says why") func nobody() throws
    {
        let world = try DirectoryWorld(4)
        avoid([0, 1, 2, 3], in: world)
        world.client.start()
        run(world, seconds: 60)
        #expect(world.nodes.allSatisfy { $0.linkCount == 0 })
        #expect(world.client.status.problem == .noSource(nodes: 4))
    }
}

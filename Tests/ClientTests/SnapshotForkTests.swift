import Directory
import LoopTesting
import Testing
import Wire

@testable import Client

/// A snapshot whose last signatures a hostile guard withheld from all but its clients.
@Suite struct SnapshotForkTests {
    @Test(
        "s11: a client that has it follows the others, whose next snapshot does not follow it", arguments: [5, 1])
    func heldBack(nodes: Int) throws {
        // A single node is compared with itself: it may have left the snapshot that leads nowhere.
        let world = try DirectoryWorld(nodes)
        let first = world.network.snapshot.snapshot
        let common = try world.history(SnapshotHistory(first: first, digest: first.digest), to: 2)
        for node in world.nodes { node.history = common }
        // One node is too little for a path.
        #expect(world.start() == (nodes > 1))
        let directory = world.directory
        #expect(world.loop.run(for: .seconds(3_600)) { directory.trust.chain.snapshot.height == 2 })
        let held = try world.history(common, to: 3)
        for node in world.nodes { node.history = held }
        #expect(world.loop.run(for: .seconds(3_600)) { directory.trust.chain.snapshot.height == 3 })
        let others = try world.history(common, to: 4)
        for node in world.nodes { node.history = others }
        #expect(world.loop.run(for: .seconds(3_600)) { directory.trust.chain.snapshot.height == 4 })
        #expect(directory.trust.chain.digest == others.digest)
    }

    @Test("s11: a client goes on where the nodes have its snapshot but do not know the snapshot's voters")
    func unknownVoters() throws {
        let world = try DirectoryWorld(5)
        let first = world.network.snapshot.snapshot
        let common = try world.history(SnapshotHistory(first: first, digest: first.digest), to: 2)
        for node in world.nodes { node.history = common }
        #expect(world.start())
        let directory = world.directory
        #expect(world.loop.run(for: .seconds(3_600)) { directory.trust.chain.snapshot.height == 2 })
        // The nodes slept meanwhile, and the update that led them on named no voters in between.
        let whole = try world.history(common, to: 3)
        var slept = SnapshotHistory(first: first, digest: first.digest)
        slept.absorb(try #require(whole.update(from: first.height, digest: first.digest)))
        #expect(slept.digest(at: 2) == common.digest && slept.update(from: 2, digest: common.digest) == nil)
        for node in world.nodes { node.history = slept }
        #expect(world.loop.run(for: .seconds(3_600)) { directory.trust.chain.digest == whole.digest })
        #expect(directory.gap == nil)
    }

    @Test("s11: a client whose snapshot is before the beginning of the nodes' histories is told so")
    func tooOld() throws {
        let world = try DirectoryWorld(5)
        let first = world.network.snapshot.snapshot
        let common = try world.history(SnapshotHistory(first: first, digest: first.digest), to: 2)
        let whole = try world.history(common, to: 3)
        let cut = SnapshotHistory(first: whole.newest, digest: whole.digest)
        for node in world.nodes { node.history = cut }
        #expect(world.start())
        let directory = world.directory
        #expect(world.loop.run(for: .seconds(7 * 86_400)) { directory.gap != nil })
        #expect(directory.trust.chain.snapshot.height == first.height && directory.trust.unreachable.count >= 2)
        // Another node leads on from it.
        for node in world.nodes { node.history = whole }
        #expect(world.loop.run(for: .seconds(86_400)) { directory.trust.chain.digest == whole.digest })
        #expect(directory.gap == nil)
    }

    @Test("s11: two nodes of one operator do not send a client to another network file", arguments: [false, true])
    func oneOperator(areOthers: Bool) throws {
        let world = try DirectoryWorld(6, operatorOf: { $0 == 1 && !areOthers ? 0 : $0 })
        let first = world.network.snapshot.snapshot
        let common = try world.history(SnapshotHistory(first: first, digest: first.digest), to: 2)
        let cut = SnapshotHistory(first: common.newest, digest: common.digest)
        for node in world.nodes.prefix(2) { node.history = cut }
        #expect(world.start())
        world.restoreGuards([0, 1])
        let directory = world.directory
        let both = Set(world.nodes.prefix(2).map(\.id))
        #expect(world.loop.run(for: .seconds(86_400)) { directory.trust.unreachable == both })
        #expect((directory.gap != nil) == areOthers)
    }
}

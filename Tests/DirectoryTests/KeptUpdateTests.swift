import DirectoryModel
import OnionCrypto
import Testing
import Wire

@testable import Directory

/// A node that has lost its history, and has the newest snapshot in its database with the update that led there.
@Suite struct KeptUpdateTests {
    /// What a relay keeps in its database.
    private struct Disk {
        var trusted: SignedSnapshot
        var mark: SnapshotChain.HighWaterMark
        var earlier: [UInt8]
        var update: [UInt8]?

        init(_ node: SnapshotSigning) throws {
            trusted = SignedSnapshot(node.snapshot)
            mark = .init(height: node.snapshot.height, digest: node.chain.digest)
            earlier = try #require(node.chain.earlier).encoded()
            update = try #require(node.update).encoded()
        }

        /// The node after a restart.
        func start(_ first: SignedSnapshot, history: SnapshotHistory? = nil) throws -> SnapshotSigning {
            let chain = try SnapshotChain(
                network: network, first: first, kept: trusted, mark: mark, earlier: .init(kept: earlier),
                check: Mock.check)
            return SnapshotSigning(chain, history: history, update: update, check: Mock.check)
        }
    }

    /// Signs the next snapshot of `node` by all voters.
    private func sign(_ node: inout SnapshotSigning, at time: UnixTime) throws {
        let next = try #require(node.next)
        let items = next.voters.enumerated().map { place, voter in
            SnapshotSignatures.Item(place: place, bytes: Mock.sign(next.message, as: voter))
        }
        #expect(node.add(next.checked(items, Mock.check), for: next.digest, at: time).isFinal)
    }

    /// Proposes a snapshot of `height` to `node`, an epoch for each height.
    private func propose(_ height: UInt64, of world: SnapshotWorld, to node: inout SnapshotSigning) -> UnixTime {
        let time = UnixTime(seconds: world.first.snapshot.time.seconds + (height - 1) * SnapshotWorld.epoch)
        _ = node.propose(SnapshotWorld.snapshot(of: world.nodes, height: height, time: time), at: time)
        return time
    }

    /// A world of height 3, and a node that alone has the signatures of the snapshot at `height`.
    private func lonely(at height: UInt64) throws -> (SnapshotWorld, SnapshotSigning) {
        var world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        for _ in 0..<2 { _ = world.pass(turnover: 0.2, reachable: 1) }
        var node = world.honest
        let time = propose(height, of: world, to: &node)
        try sign(&node, at: time)
        #expect(node.snapshot.height == height && world.honest.snapshot.height == 3)
        return (world, node)
    }

    @Test("s11: it keeps its snapshot, leads the others there, and they sign the next one together")
    func leads() throws {
        var (world, node) = try lonely(at: 4)
        var restarted = try Disk(node).start(world.first)
        #expect(restarted.chain.digest == node.chain.digest && restarted.refusal == nil)
        #expect(restarted.history.digest == node.chain.digest && restarted.history.count == 1)
        // A node and a client at the snapshot before.
        let place = SnapshotPlace(world.honest.chain)
        let update = try #require(restarted.history.update(from: place.height, digest: place.digest))
        var client = world.honest.chain
        let time = propose(5, of: world, to: &restarted)
        let isNew = try client.accept(update, at: time, check: Mock.check)
        #expect(isNew && client.digest == node.chain.digest)
        let isLed = try world.honest.follow(update, at: time, check: Mock.check)
        #expect(isLed && world.honest.chain.digest == node.chain.digest)
        _ = propose(5, of: world, to: &world.honest)
        let next = try #require(restarted.next?.digest)
        #expect(world.honest.next?.digest == next)
        try sign(&restarted, at: time)
        #expect(restarted.chain.digest == next)
        // So does another restart, from what it keeps now.
        let again = try Disk(restarted).start(world.first)
        #expect(again.chain.digest == next && again.history.update(from: 4, digest: client.digest) != nil)
    }

    /// The others trust the snapshot of height 4, which it would refuse.
    @Test("s11: it leads others that trust a lower snapshot to its own") func twoAtOnce() throws {
        var (world, node) = try lonely(at: 5)
        let time = propose(4, of: world, to: &world.honest)
        try sign(&world.honest, at: time)
        let restarted = try Disk(node).start(world.first)
        #expect(restarted.snapshot.height == 5 && world.honest.snapshot.height == 4)
        // They ask from the snapshot before theirs.
        let chain = world.honest.chain
        #expect(restarted.history.update(from: 4, digest: chain.digest) == nil)
        let place = try #require(SnapshotPlace(chain, at: .earlier))
        let update = try #require(restarted.history.update(from: place.height, digest: place.digest))
        let isLed = try world.honest.follow(update, at: node.snapshot.time, check: Mock.check)
        #expect(isLed && world.honest.chain.digest == restarted.chain.digest)
        node = restarted
        _ = propose(6, of: world, to: &node)
        _ = propose(6, of: world, to: &world.honest)
        #expect(node.next != nil && node.next?.digest == world.honest.next?.digest)
    }

    @Test("s11: it keeps a snapshot that it has by an update over many, whose voters change, and leads on")
    func byAnUpdate() throws {
        var world = try SnapshotWorld(nodes: 30, hostile: 0, seed: 3)
        var node = world.honest
        for _ in 0..<12 { _ = world.pass(turnover: 0.1, reachable: 0.9) }
        let place = SnapshotPlace(node.chain)
        let update = try #require(world.honest.history.update(from: place.height, digest: place.digest))
        #expect(!update.voterChanges.isEmpty)
        #expect(try node.follow(update, at: world.time, check: Mock.check))
        let restarted = try Disk(node).start(world.first)
        #expect(restarted.chain.digest == world.honest.chain.digest && restarted.history.count == update.headers.count)
        var client = try world.client()
        let whole = try #require(restarted.history.update(from: place.height, digest: place.digest))
        #expect(try client.accept(whole, at: world.time, check: Mock.check))
        #expect(client.digest == world.honest.chain.digest)
    }

    @Test(
        "s11: a history that ends before the snapshot goes on with it, or begins anew where it does not reach",
        arguments: [1, 2, 3] as [UInt64])
    func endsBefore(missing: UInt64) throws {
        var world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        var histories: [SnapshotHistory] = []
        for _ in 0..<6 {
            _ = world.pass(turnover: 0.2, reachable: 1)
            histories.append(world.honest.history)
        }
        let history = histories[histories.count - 1 - Int(missing)]
        #expect(history.newest.height == world.height - missing)
        let restarted = try Disk(world.honest).start(world.first, history: history)
        #expect(restarted.chain.digest == world.honest.chain.digest && restarted.refusal == nil)
        #expect(restarted.history.digest == restarted.chain.digest)
        #expect(restarted.history.count == (missing == 1 ? 6 : 1))
    }

    @Test("s11: a history that leads to another snapshot of its height is replaced") func elsewhere() throws {
        var (world, other) = try lonely(at: 4)
        let time = propose(5, of: world, to: &other)
        try sign(&other, at: time)
        let (_, node) = try lonely(at: 5)
        #expect(other.snapshot.height == 5 && node.chain.digest != other.chain.digest)
        let restarted = try Disk(node).start(world.first, history: other.history)
        #expect(restarted.chain.digest == node.chain.digest && restarted.history.digest == node.chain.digest)
        #expect(restarted.history.count == 1)
    }

    @Test("s11: it goes back to the snapshot before without the update, as with the database of an older build")
    func olderBuild() throws {
        let (world, node) = try lonely(at: 4)
        var disk = try Disk(node)
        disk.update = nil
        let restarted = try disk.start(world.first)
        #expect(restarted.snapshot.height == 3 && restarted.chain.highWaterMark == disk.mark)
        #expect(restarted.refusal == nil && restarted.history.digest == restarted.chain.digest)
    }

    @Test("s11: it goes back if a signature on its disk is wrong, missing, or of a node that has no vote")
    func wrongSignatures() throws {
        let (world, node) = try lonely(at: 4)
        let update = try #require(node.update)
        #expect(update.votes.count == 7)
        for place in update.votes.indices {
            var bad = update
            var signature = update.votes[place].signature
            signature[place] ^= 1
            bad.votes[place] = .init(number: place, header: 0, signature: signature)
            try expectBack(bad.encoded(), .badSignature(world.honest.snapshot.voters[place]), node, world)
        }
        var few = update
        few.votes.removeLast(3)
        try expectBack(few.encoded(), .tooFewSignatures(signatures: 4, needed: 5), node, world)
        var stranger = few
        stranger.votes.append(.init(number: 7, header: 0, signature: update.votes[6].signature))
        try expectBack(stranger.encoded(), .broken, node, world)
        // Five of seven are enough.
        var enough = update
        enough.votes.removeLast(2)
        var disk = try Disk(node)
        disk.update = enough.encoded()
        #expect(try disk.start(world.first).snapshot.height == 4)
    }

    @Test("s11: it goes back if the update on its disk is damaged anywhere, or leads elsewhere") func damaged() throws {
        let (world, node) = try lonely(at: 4)
        let bytes = try #require(node.update).encoded()
        for length in stride(from: 0, to: bytes.count, by: 7) {
            try expectBack(Array(bytes[..<length]), nil, node, world)
        }
        for place in stride(from: 0, to: bytes.count, by: 3) {
            var spoiled = bytes
            spoiled[place] ^= 1 << UInt8(place % 8)
            try expectBack(spoiled, nil, node, world)
        }
        // One that was kept with a snapshot before: an older build has written this one.
        let before = try #require(world.honest.update).encoded()
        try expectBack(before, .unknownBase, node, world)
        // A true one to another snapshot.
        var other = world.honest
        let time = propose(5, of: world, to: &other)
        try sign(&other, at: time)
        try expectBack(try #require(other.update).encoded(), .broken, node, world)
    }

    private func expectBack(
        _ update: [UInt8], _ refusal: SnapshotRefusal?, _ node: SnapshotSigning, _ world: SnapshotWorld
    ) throws {
        var disk = try Disk(node)
        disk.update = update
        let restarted = try disk.start(world.first)
        #expect(restarted.snapshot.height == 3 && restarted.history.digest == restarted.chain.digest)
        #expect(refusal == nil ? restarted.refusal != nil : restarted.refusal == refusal)
        // It can still be led on from the snapshot that it had.
        #expect(SnapshotPlace(restarted.chain, at: .earlier)?.digest == node.chain.digest)
    }
}

import DirectoryModel
import OnionCrypto
import Testing
import Wire

@testable import Directory

/// A snapshot that had enough signatures, but too few nodes had seen them when its epoch ended: the next one follows
/// the one before it.
@Suite struct SnapshotForkTests {
    /// A node and a client that trust a snapshot of height 4 that led nowhere; the others trust one of height 5 that
    /// follows height 3.
    private struct Fork {
        var world: SnapshotWorld
        var node: SnapshotSigning
        var client: SnapshotChain

        init(age: UInt64 = 0) throws {
            world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
            client = try world.client()
            client.longestTrust = age
            for _ in 0..<2 { _ = world.pass(turnover: 0, reachable: 1) }
            node = world.honest
            let update = try #require(world.honest.history.update(from: 1, digest: client.digest))
            _ = try client.accept(update, at: world.time, check: Mock.check)
            // All nodes have signed the snapshot of height 4, but only one has all the signatures.
            let time = UnixTime(seconds: world.time.seconds + SnapshotWorld.epoch)
            _ = node.propose(SnapshotWorld.snapshot(of: world.nodes, height: 4, time: time), at: time)
            try Self.sign(&node, at: time)
            let held = try #require(node.history.update(from: 3, digest: client.digest))
            _ = try client.accept(held, at: time, check: Mock.check)
            // The others sign the snapshot of height 5, which follows that of height 3.
            let later = UnixTime(seconds: time.seconds + SnapshotWorld.epoch)
            _ = world.honest.propose(SnapshotWorld.snapshot(of: world.nodes, height: 5, time: later), at: later)
            try Self.sign(&world.honest, at: later)
        }

        static func sign(_ signing: inout SnapshotSigning, at time: UnixTime) throws {
            let next = try #require(signing.next)
            let items = next.voters.enumerated().map { place, voter in
                SnapshotSignatures.Item(place: place, bytes: Mock.sign(next.message, as: voter))
            }
            let isFinal = signing.add(next.checked(items, Mock.check), for: next.digest, at: time).isFinal
            #expect(isFinal)
        }

        /// The other nodes' answer from the place `base` of `chain`.
        func answer(_ chain: SnapshotChain, at base: SnapshotPlace.Base) -> SnapshotUpdate? {
            SnapshotPlace(chain, at: base).flatMap { world.honest.history.update(from: $0.height, digest: $0.digest) }
        }

        var time: UnixTime { world.honest.snapshot.time }
    }

    @Test("s11: a client with a snapshot that led nowhere goes on from the one before it") func s11Client() throws {
        var fork = try Fork()
        #expect(fork.client.snapshot.height == 4 && fork.world.honest.snapshot.height == 5)
        #expect(fork.answer(fork.client, at: .trusted) == nil)
        let update = try #require(fork.answer(fork.client, at: .earlier))
        let isNewer = try fork.client.accept(update, at: fork.time, check: Mock.check)
        #expect(isNewer && fork.client.digest == fork.world.honest.chain.digest)
    }

    @Test("s11: so does a client whose network file is too old to begin at, also after a restart")
    func s11ClientOfLongStanding() throws {
        var fork = try Fork(age: 4 * SnapshotWorld.epoch)
        let time = UnixTime(seconds: fork.world.first.snapshot.time.seconds + 5 * SnapshotWorld.epoch)
        let first = try #require(fork.answer(fork.client, at: .first))
        #expect(throws: SnapshotRefusal.baseTooOld) { try fork.client.accept(first, at: time, check: Mock.check) }
        let kept = try #require(fork.client.earlier).encoded()
        var restarted = try SnapshotChain(
            network: network, first: fork.world.first, kept: fork.client.trusted, mark: fork.client.highWaterMark,
            earlier: SnapshotChain.Earlier(kept: kept), check: Mock.check)
        let update = try #require(fork.answer(restarted, at: .earlier))
        let isNewer = try restarted.accept(update, at: time, check: Mock.check)
        #expect(isNewer && restarted.digest == fork.world.honest.chain.digest)
        #expect(SnapshotChain.Earlier(kept: Array(kept.dropLast())) == nil)
    }

    @Test(
        "s11: a node with a snapshot that led nowhere goes on from the one before it, signs, and leads others",
        arguments: [SnapshotPlace.Base.earlier, .first])
    func s11Node(base: SnapshotPlace.Base) throws {
        var fork = try Fork()
        let update = try #require(fork.answer(fork.node.chain, at: base))
        let isNewer = try fork.node.follow(update, at: fork.time, check: Mock.check)
        #expect(isNewer && fork.node.chain.digest == fork.world.honest.chain.digest)
        #expect(fork.node.history.digest == fork.node.chain.digest && fork.node.history.digest(at: 4) == nil)
        #expect(fork.node.history.digest(at: 3) == fork.world.honest.history.digest(at: 3))
        // Its history leads a newcomer there, and all who stand between.
        var newcomer = try fork.world.client()
        let whole = try #require(fork.node.history.update(from: 1, digest: newcomer.digest))
        _ = try newcomer.accept(whole, at: fork.time, check: Mock.check)
        #expect(newcomer.digest == fork.node.chain.digest)
        for height in 2...3 as ClosedRange<UInt64> {
            let digest = try #require(fork.world.honest.history.digest(at: height))
            #expect(fork.node.history.update(from: height, digest: digest) != nil, "from height \(height)")
        }
        // It has the same next snapshot to sign as the others.
        let next = SnapshotWorld.snapshot(of: fork.world.nodes, height: 6, time: fork.time)
        _ = fork.node.propose(next, at: fork.time)
        _ = fork.world.honest.propose(next, at: fork.time)
        #expect(fork.node.next?.digest == fork.world.honest.next?.digest && fork.node.next != nil)
    }

    /// The others trust the snapshot of height 3, and are one signature short of one that follows it.
    @Test(
        "s11: a node that has lost the signatures of its snapshot goes back to the one before, and votes with the others"
    )
    func s11LostSignatures() throws {
        let fork = try Fork()
        let chain = fork.node.chain
        let third = try #require(chain.earlier)
        // There is no file with a history.
        var restarted = SnapshotSigning(chain)
        #expect(restarted.snapshot.height == 3 && restarted.chain.highWaterMark.height == 4)
        #expect(restarted.history.digest == restarted.chain.digest)
        let time = fork.time
        let next = SnapshotWorld.snapshot(of: fork.world.nodes, height: 5, time: time)
        _ = restarted.propose(next, at: time)
        let node = try #require(restarted.next?.voters.first)
        let due = restarted.due(node, epoch: SnapshotWorld.epoch, at: UnixTime(seconds: time.seconds + 1_000))
        #expect(due?.snapshot.previous == third.digest)
        // Where others do have them, it is led on from the snapshot that it had.
        #expect(SnapshotPlace(restarted.chain, at: .earlier)?.digest == chain.digest)
        var led = fork.node
        _ = led.propose(next, at: time)
        try Fork.sign(&led, at: time)
        let more = try #require(led.history.update(from: 4, digest: chain.digest))
        let isNewer = try restarted.follow(more, at: time, check: Mock.check)
        #expect(isNewer && restarted.chain.digest == led.chain.digest && restarted.history.digest == led.chain.digest)
    }

    @Test(
        "s11: so does a node that ended between two writings, whose history leads to the one that led nowhere",
        arguments: [SnapshotPlace.Base.earlier, .first])
    func s11NodeBetweenWritings(base: SnapshotPlace.Base) throws {
        var fork = try Fork(age: 4 * SnapshotWorld.epoch)
        let history = fork.node.history.encoded()
        let update = try #require(fork.answer(fork.node.chain, at: .earlier))
        _ = try fork.node.follow(update, at: fork.time, check: Mock.check)
        // The snapshot of height 5 is on disk, but the history only reaches height 4.
        let chain = fork.node.chain
        let kept = SnapshotHistory(kept: history, first: chain.first, digest: chain.firstDigest)
        var restarted = SnapshotSigning(chain, history: kept)
        #expect(restarted.snapshot.height == 4 && fork.answer(restarted.chain, at: .trusted) == nil)
        let again = try #require(fork.answer(restarted.chain, at: base))
        let isNewer = try restarted.follow(again, at: fork.time, check: Mock.check)
        #expect(isNewer && restarted.chain.digest == fork.world.honest.chain.digest)
        #expect(restarted.history.digest == restarted.chain.digest)
        // It still leads others, although a history from disk has few whole snapshots.
        #expect(restarted.history.digest(at: 3) == fork.world.honest.history.digest(at: 3))
        var newcomer = try fork.world.client()
        let whole = try #require(restarted.history.update(from: 1, digest: newcomer.digest))
        _ = try newcomer.accept(whole, at: fork.time, check: Mock.check)
        #expect(newcomer.digest == restarted.chain.digest)
    }
}

import Directory
import DirectoryModel
import Testing
import Wire

/// A node's history of snapshots at its limits, and after restarts.
@Suite struct SnapshotHistoryTests {
    private static func limits(steps: Int, changes: Int = .max) -> SnapshotHistory.Limits {
        var limits = SnapshotHistory.Limits()
        (limits.steps, limits.changes) = (steps, changes)
        return limits
    }

    /// A world whose honest nodes keep a history of these limits, with the chain at each height so far.
    private struct Past {
        var world: SnapshotWorld
        let limits: SnapshotHistory.Limits
        /// The chain of a reader that has followed up to each height, the first of which is 1.
        var chains: [SnapshotChain]

        init(_ limits: SnapshotHistory.Limits, nodes: Int = 40, seed: UInt64 = 1) throws {
            world = try SnapshotWorld(nodes: nodes, hostile: 0, seed: seed)
            self.limits = limits
            let first = world.first.snapshot
            let history = SnapshotHistory(first: first, digest: first.digest, limits: limits)
            world.honest = SnapshotSigning(world.honest.chain, history: history)
            chains = [world.honest.chain]
        }

        var history: SnapshotHistory { world.honest.history }

        mutating func pass(_ epochs: Int = 1, turnover: Double = 0.025) throws {
            for _ in 0..<epochs {
                _ = world.pass(turnover: turnover, reachable: 1)
                try #require(world.honest.snapshot.height == world.height)
                chains.append(world.honest.chain)
            }
        }

        /// Whether a reader that slept for `epochs` gets an update from `history`, which must lead to the newest.
        func leads(_ history: SnapshotHistory, asleep epochs: Int) throws -> Bool {
            var chain = chains[chains.count - 1 - epochs]
            guard let update = history.update(from: chain.snapshot.height, digest: chain.digest) else { return false }
            let read = try SnapshotUpdate(decoding: update.encoded().rawSpan)
            let isNew = try chain.accept(read, at: world.time, check: Mock.check)
            #expect(isNew && chain.digest == world.honest.chain.digest, "asleep for \(epochs)")
            return true
        }

        /// The history after a restart, in a network with the file's snapshot `first` (none: the world's).
        func restarted(_ bytes: [UInt8], first: Snapshot? = nil) -> SnapshotHistory? {
            let first = first ?? world.first.snapshot
            return SnapshotHistory(kept: bytes, first: first, digest: first.digest, limits: limits)
        }
    }

    @Test("s11: above its limit a history drops only the oldest snapshots") func oldestOnly() throws {
        var past = try Past(Self.limits(steps: 60))
        try past.pass(60)
        #expect(try past.leads(past.history, asleep: 60))
        for _ in 0..<70 {
            try past.pass()
            #expect(past.history.count == 60)
            for sleep in [1, 5, 31, 33, 59, 60] { #expect(try past.leads(past.history, asleep: sleep)) }
            #expect(try !past.leads(past.history, asleep: 61))
            #expect(past.history.digest(at: past.chains[past.chains.count - 62].snapshot.height) == nil)
        }
    }

    @Test("s11: a restart changes nothing in it, before and after the beginning moved") func restarts() throws {
        var past = try Past(Self.limits(steps: 50))
        var sizes: [Int] = []
        for epoch in 1...120 {
            try past.pass()
            guard epoch % 7 == 0 || epoch > 100 else { continue }
            let bytes = past.history.encoded()
            let kept = try #require(past.restarted(bytes), "after \(epoch) epochs")
            past.world.honest = SnapshotSigning(past.world.honest.chain, history: kept)
            #expect(kept.count == min(50, epoch) && kept.digest == past.world.honest.chain.digest)
            #expect(try past.leads(kept, asleep: min(50, epoch)))
            if epoch > 50 { sizes.append(bytes.count) }
        }
        // The steps and the signatures are bounded, so the file is.
        let (least, most) = (try #require(sizes.min()), try #require(sizes.max()))
        #expect(most < least + least / 8, "\(sizes)")
    }

    @Test("s11: a history that was longer than the limit is cut when it is read") func longerOnDisk() throws {
        var past = try Past(Self.limits(steps: 80))
        try past.pass(70)
        let first = past.world.first.snapshot
        let kept = try #require(
            SnapshotHistory(
                kept: past.history.encoded(), first: first, digest: first.digest, limits: Self.limits(steps: 30)))
        #expect(kept.count == 30)
        #expect(try past.leads(kept, asleep: 30) && !past.leads(kept, asleep: 31))
    }

    @Test("s11: it is bounded by the number of changed voters as well") func changes() throws {
        var past = try Past(Self.limits(steps: 1_000, changes: 40))
        // Two nodes leave and two join in each epoch.
        try past.pass(30, turnover: 0.05)
        #expect(past.history.count == 10)
        #expect(try past.leads(past.history, asleep: 10) && !past.leads(past.history, asleep: 11))
        // The newest step stays, however large.
        try past.pass(1, turnover: 0.6)
        #expect(past.history.count == 1)
        try past.pass(20, turnover: 0)
        #expect(try past.history.count == 20 && past.leads(past.history, asleep: 20))
    }

    /// The voters in between are unknown to a node that slept.
    @Test("s11: a node whose long update is cut leads from all snapshots whose voters it knows")
    func cutUpdate() throws {
        var past = try Past(Self.limits(steps: 1_000))
        try past.pass(70)
        let first = past.world.first.snapshot
        var node = SnapshotSigning(
            past.chains[0],
            history: SnapshotHistory(first: first, digest: first.digest, limits: Self.limits(steps: 30)))
        func follow() throws {
            let update = try #require(past.history.update(from: node.snapshot.height, digest: node.chain.digest))
            let isNew = try node.follow(update, at: past.world.time, check: Mock.check)
            #expect(isNew && node.history.digest == past.history.digest)
        }
        try follow()
        #expect(node.history.count == 30)
        var led = 0
        for _ in 0..<35 {
            for sleep in 1...30 where try past.leads(node.history, asleep: sleep) { led += 1 }
            try past.pass()
            try follow()
        }
        #expect(node.history.count == 30 && led > 300)
        #expect(try past.leads(node.history, asleep: 30))
    }

    @Test("s11: an update from a network file's snapshot before the beginning makes it begin there")
    func fromTheFile() throws {
        var past = try Past(Self.limits(steps: 1_000))
        try past.pass(20)
        // A node that lost its history begins one at the snapshot before its trusted one. Both led nowhere: the next one
        // of the others does not follow them.
        var alone = past.world.honest
        for step in 1...2 as ClosedRange<UInt64> {
            let (height, time) = (past.world.height + step, past.world.time)
            _ = alone.propose(SnapshotWorld.snapshot(of: past.world.nodes, height: height, time: time), at: time)
            let next = try #require(alone.next)
            let items = next.voters.enumerated().map { place, voter in
                SnapshotSignatures.Item(place: place, bytes: Mock.sign(next.snapshot, as: voter))
            }
            let isFinal = alone.add(next.checked(items, Mock.check), for: next.digest, at: time).isFinal
            #expect(isFinal)
        }
        var node = SnapshotSigning(alone.chain)
        #expect(node.history.count == 0 && node.history.digest(at: 1) == nil)
        try past.pass(10)
        let update = try #require(past.history.update(from: 1, digest: past.chains[0].digest))
        let isNew = try node.follow(update, at: past.world.time, check: Mock.check)
        #expect(isNew && node.history.count == 30)
        #expect(try past.leads(node.history, asleep: 30))
        // Where the update repeats that snapshot, the history stays.
        var other = SnapshotSigning(past.chains[20])
        let isNewer = try other.follow(update, at: past.world.time, check: Mock.check)
        #expect(isNewer && other.history.count == 11)
        #expect(try past.leads(other.history, asleep: 11))
    }

    /// A neighbour can answer as if it did not know the node's snapshot, and then with a true update from an earlier one.
    @Test(
        "s11: an update from an earlier snapshot takes nothing from a history that it repeats",
        arguments: [SnapshotPlace.Base.earlier, .first], [false, true])
    func repeated(base: SnapshotPlace.Base, isRestarted: Bool) throws {
        var past = try Past(Self.limits(steps: 1_000))
        try past.pass(20)
        var node = past.world.honest
        if isRestarted { node = SnapshotSigning(node.chain, history: past.restarted(node.history.encoded())) }
        try past.pass(2)
        let place = try #require(SnapshotPlace(node.chain, at: base))
        let update = try #require(past.history.update(from: place.height, digest: place.digest))
        let isNew = try node.follow(update, at: past.world.time, check: Mock.check)
        #expect(isNew && node.history.digest == past.history.digest && node.history.count == 22)
        // The update may not tell the voters of the snapshot between the node's and the newest.
        for sleep in 2...22 { #expect(try past.leads(node.history, asleep: sleep), "asleep for \(sleep)") }
        // It is kept like any other, and goes on.
        let kept = try #require(past.restarted(node.history.encoded()))
        for sleep in 2...22 { #expect(try past.leads(kept, asleep: sleep), "asleep for \(sleep)") }
        try past.pass()
        let last = try #require(past.history.update(from: node.snapshot.height, digest: node.chain.digest))
        _ = try node.follow(last, at: past.world.time, check: Mock.check)
        for sleep in 3...23 { #expect(try past.leads(node.history, asleep: sleep), "asleep for \(sleep)") }
    }

    @Test("s11: the form before, with a whole snapshot at the beginning, is still read") func formBefore() throws {
        var past = try Past(Self.limits(steps: 30))
        try past.pass(20)
        func before(_ history: SnapshotHistory, from first: Snapshot) -> [UInt8] {
            // Magic, height, digest, whether the voters are known, their number, the voters.
            let beginning = 8 + 8 + 32 + 1 + 2 + first.stakedCount * 32
            return Array("tunichs2".utf8) + first.encoded() + history.encoded().dropFirst(beginning)
        }
        let kept = try #require(past.restarted(before(past.history, from: past.world.first.snapshot)))
        #expect(try kept.count == 20 && past.leads(kept, asleep: 20))
        // One that had moved was written, but not read.
        let later = past.chains[5]
        var moved = SnapshotHistory(first: later.snapshot, digest: later.digest)
        let update = try #require(past.history.update(from: later.snapshot.height, digest: later.digest))
        moved.absorb(update)
        let read = try #require(past.restarted(before(moved, from: later.snapshot)))
        #expect(try read.count == 15 && past.leads(read, asleep: 15))
    }

    @Test("s25: the history of another network file is used only if it leads there") func otherFiles() throws {
        var past = try Past(Self.limits(steps: 1_000))
        try past.pass(20)
        let bytes = past.history.encoded()
        // A newer network file of the same snapshots.
        let inside = past.chains[12].snapshot
        let kept = try #require(past.restarted(bytes, first: inside))
        #expect(try kept.count == 20 && past.leads(kept, asleep: 20) && past.leads(kept, asleep: 8))
        // One that people agreed on after the network had stopped.
        let voters = past.world.nodes
        func other(_ height: UInt64) -> Snapshot {
            SnapshotWorld.snapshot(of: Array(voters.dropLast(9)), height: height, time: past.world.time)
        }
        #expect(past.restarted(bytes, first: other(past.world.height + 1)) == nil)
        #expect(past.restarted(bytes, first: other(12)) == nil)
        // A height that the history passes over.
        let gap = Snapshot(
            network: network, height: 40, time: past.world.time, previous: past.history.digest,
            entries: past.history.newest.entries)!
        var longer = past.history
        longer.append(gap, digest: gap.digest)
        #expect(longer.count == 21 && past.restarted(longer.encoded(), first: other(30)) == nil)
        #expect(past.restarted(longer.encoded(), first: gap) != nil)
        // Another network's, and damaged bytes.
        let foreign = Snapshot(network: bytes32(5, 5), height: 1, time: now, entries: past.chains[0].snapshot.entries)!
        #expect(past.restarted(bytes, first: foreign) == nil)
        #expect(past.restarted(Array(bytes.dropLast())) == nil && past.restarted(bytes + [0]) == nil)
        #expect(past.restarted(Array("tunichs1".utf8) + bytes.dropFirst(8)) == nil)
    }

    /// The database is not forced to the disk with each snapshot, the history is.
    @Test("s11: a history that goes beyond the kept snapshot is kept up to there, and gone on from")
    func beyondTheKept() throws {
        var past = try Past(Self.limits(steps: 1_000))
        try past.pass(22)
        let kept = past.chains[20]
        var node = SnapshotSigning(kept, history: past.restarted(past.history.encoded()))
        #expect(node.snapshot.height == kept.snapshot.height && node.history.count == 20)
        #expect(node.history.digest == kept.digest)
        let update = try #require(past.history.update(from: kept.snapshot.height, digest: kept.digest))
        let isNew = try node.follow(update, at: past.world.time, check: Mock.check)
        #expect(isNew && node.chain.digest == past.world.honest.chain.digest)
        #expect(try node.history.count == 22 && past.leads(node.history, asleep: 22))
        // One that does not lead to the kept snapshot is of no use.
        var other = try Past(Self.limits(steps: 1_000), seed: 2)
        try other.pass(22)
        #expect(SnapshotSigning(kept, history: other.history).history.count == 0)
    }

    /// A node that ended between two writings goes on from the end of its history, wherever that begins.
    @Test("s11: a history that ends before the kept snapshot is gone on from") func endedBetween() throws {
        var past = try Past(Self.limits(steps: 10))
        try past.pass(30)
        let bytes = past.history.encoded()
        try past.pass(2)
        var node = SnapshotSigning(past.world.honest.chain, history: past.restarted(bytes))
        #expect(node.snapshot.height == past.world.height - 2 && node.history.count == 10)
        let update = try #require(past.history.update(from: node.snapshot.height, digest: node.chain.digest))
        let isNew = try node.follow(update, at: past.world.time, check: Mock.check)
        #expect(isNew && node.history.count == 10 && node.chain.digest == past.world.honest.chain.digest)
    }
}

import DirectoryModel
import SeededRandom
import Synchronization
import Testing
import Wire

@testable import Directory

/// The spreading of signatures from node to node, each with its own state.
///
/// `TUNIC_EXCHANGE_NODES=2000` gives the full size.
struct SignatureExchangeTests {
    static let count = setting("TUNIC_EXCHANGE_NODES", 60)

    /// All honest nodes reach the same next snapshot in a few rounds, and each checks each good signature once.
    ///
    /// This holds although messages are lost, and up to 27 % of the nodes do not sign and send wrong signatures.
    @Test(arguments: [(0.0, 0.0), (0.25, 0.2), (0.27, 0.4)])
    func p5AllHonestNodesComeToTheSameSnapshot(_ hostile: Double, _ loss: Double) throws {
        var random = SeededGenerator(seed: 11)
        var world = try SnapshotWorld(nodes: Self.count, hostile: hostile, seed: 5)
        let ids = world.first.snapshot.voters
        let isHostile = ids.map { world.hostile.contains($0) }
        var nodes = [SnapshotSigning](repeating: world.honest, count: ids.count)
        var checked = [Int](repeating: 0, count: ids.count)
        for _ in 0..<3 {
            _ = world.pass(turnover: 0, reachable: 0)
            let registry = SnapshotWorld.snapshot(of: world.nodes, height: world.height, time: world.time)
            checked = checked.map { _ in 0 }
            var news: [[SnapshotSignatures.Item]] = nodes.map { _ in [] }
            for place in nodes.indices {
                let isNew = nodes[place].propose(registry, at: world.time)
                #expect(isNew)
                guard !isHostile[place], let due = nodes[place].due(ids[place], epoch: 3_600, at: world.time) else {
                    continue
                }
                let item = nodes[place].sign(as: ids[place]) { Mock.sign($0, as: ids[place]) }!
                news[place] = nodes[place].add([item], for: due.digest, at: world.time).new
                #expect(nodes[place].due(ids[place], epoch: 3_600, at: world.time) == nil)
            }
            let digest = try #require(nodes[0].next?.digest)
            var rounds = 0
            while rounds < 60,
                nodes.indices.contains(where: { !isHostile[$0] && nodes[$0].snapshot.height < world.height })
            {
                rounds += 1
                var fresh: [[SnapshotSignatures.Item]] = nodes.map { _ in [] }
                for place in nodes.indices {
                    if isHostile[place] {
                        // Forged signatures, sent to some node.
                        news[place] = (0..<8).map { _ in
                            SnapshotSignatures.Item(
                                place: Int.random(in: 0..<ids.count + 3, using: &random),
                                bytes: Mock.sign([1], as: ids[place]))
                        }
                    }
                    for _ in 0..<4 where !news[place].isEmpty {
                        let peer = Int.random(in: nodes.indices, using: &random)
                        guard peer != place, Double.random(in: 0..<1, using: &random) >= loss else { continue }
                        Self.bring(news[place], to: &nodes[peer], digest, &fresh[peer], &checked[peer], at: world.time)
                    }
                    // Also one question to a random node.
                    let peer = Int.random(in: nodes.indices, using: &random)
                    guard let mine = nodes[place].collection(digest), let theirs = nodes[peer].collection(digest),
                        !isHostile[peer], Double.random(in: 0..<1, using: &random) >= loss
                    else { continue }
                    Self.bring(
                        theirs.missing(in: mine.bitmap, byteLimit: 200_000), to: &nodes[place], digest, &fresh[place],
                        &checked[place], at: world.time)
                }
                news = fresh
            }
            print("\(ids.count) nodes, \(Int(hostile * 100)) % hostile, \(Int(loss * 100)) % lost: \(rounds) rounds")
            #expect(rounds < 40)
            for place in nodes.indices where !isHostile[place] {
                #expect(nodes[place].chain.digest == digest)
                // Each good signature is checked once, and as many as are needed beside the node's own.
                #expect(SnapshotChain.quorum(of: ids.count) - 1...ids.count - 1 ~= checked[place])
            }
            world.honest = nodes[isHostile.firstIndex(of: false)!]
        }
    }

    private static func bring(
        _ items: [SnapshotSignatures.Item], to node: inout SnapshotSigning, _ digest: Bytes32,
        _ fresh: inout [SnapshotSignatures.Item], _ checked: inout Int, at time: UnixTime
    ) {
        guard let collection = node.collection(digest) else { return }
        let unknown = collection.unknown(items)
        let good = collection.checked(unknown, Mock.check)
        checked += good.count
        fresh += node.add(good, for: digest, at: time).new
    }

    /// After a neighbour's first wrong signature, no more of its signatures are verified.
    @Test func s22AWrongSignatureEndsItsNeighboursSay() throws {
        var world = try SnapshotWorld(nodes: 40, hostile: 0, seed: 3)
        _ = world.pass(turnover: 0, reachable: 0)
        let collection = try #require(world.honest.next)
        let message = Mock.message(of: collection.snapshot)
        let (liar, honest) = (collection.voters[0], collection.voters[1])
        let forged = (0..<40).map { SignatureItem(place: $0, bytes: Mock.sign([1], as: liar)) }
        let good = (0..<40).map { SignatureItem(place: $0, bytes: Mock.sign(message, as: collection.voters[$0])) }
        let verified = Mutex(0)
        let check = SignatureCheck { signature, message, node in
            verified.withLock { $0 += 1 }
            return Mock.check.isGood(signature, message, node)
        }
        var inbox = SignatureInbox()
        inbox.put(forged, from: liar, for: collection)
        inbox.put(good, from: honest, for: collection)
        let found = collection.checked(inbox.take(for: collection), check)
        #expect(found.good == good && found.liars == [liar])
        #expect(verified.withLock { $0 } == 41)
        // It may send them again, but none is kept; other neighbours are still heard.
        let isNew = inbox.shun(found.liars)
        #expect(isNew)
        for _ in 0..<100 { inbox.put(forged, from: liar, for: collection) }
        #expect(inbox.count == 0)
        inbox.put(good, from: honest, for: collection)
        #expect(inbox.count == 40)
        inbox.forgive()
        for number in 0..<300 as Range<UInt64> {
            inbox.put(forged, from: NodeID(bytes32(9, number)), for: collection)
        }
        #expect(inbox.count == SignatureInbox.maximum)
    }

    @Test("s22: a bundle without news for another snapshot does not drop the signatures that wait")
    func s22AnEmptyBundleDropsNothing() throws {
        var world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 3)
        _ = world.pass(turnover: 0, reachable: 1)
        let last = try #require(world.honest.last)
        _ = world.pass(turnover: 0, reachable: 0)
        let next = try #require(world.honest.next)
        #expect(last.digest != next.digest)
        let items = (0..<7).map { SignatureItem(place: $0, bytes: [UInt8](repeating: UInt8($0), count: 64)) }
        var inbox = SignatureInbox()
        inbox.put(items, from: next.voters[0], for: next)
        inbox.put([], from: next.voters[1], for: last)
        #expect(inbox.count == 7 && inbox.digest == next.digest)
    }

    @Test("s22: items for another snapshot drop none of the signatures that wait, and each waits for its own")
    func s22ItemsForAnotherSnapshot() throws {
        var world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 3)
        _ = world.pass(turnover: 0, reachable: 0)
        let one = try #require(world.honest.next)
        let other = SnapshotSignatures(
            SnapshotWorld.snapshot(of: Array(world.nodes.dropLast()), height: 9, time: world.time),
            voters: one.voters)
        let items = (0..<7).map { SignatureItem(place: $0, bytes: [UInt8](repeating: UInt8($0), count: 64)) }
        var inbox = SignatureInbox()
        inbox.put(Array(items.dropLast()), from: one.voters[0], for: one)
        inbox.put([items[0]], from: one.voters[1], for: other)
        inbox.put([items[6]], from: one.voters[0], for: one)
        #expect(inbox.count == 8 && inbox.digest == one.digest)
        #expect(inbox.take(for: one).map(\.item) == items)
        #expect(inbox.count == 1 && inbox.digest == other.digest)
        inbox.drop(one.digest)
        #expect(inbox.take(for: other).map(\.item) == [items[0]] && inbox.digest == nil)
        // The share of a neighbour is one for all that it brings.
        let many = (0..<7).map { SignatureItem(place: $0, bytes: [UInt8](repeating: 9, count: 64)) }
        for _ in 0..<200 {
            inbox.put(many, from: one.voters[0], for: one)
            inbox.put(many, from: one.voters[0], for: other)
        }
        #expect(inbox.count == SignatureInbox.share)
    }

    /// A node signs one snapshot at a height, also after a restart, and waits if it may have missed one.
    @Test func p5NobodySignsTwoAtOneHeight() throws {
        var world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        let me = world.first.snapshot.voters[2]
        var node = world.honest
        let one = SnapshotWorld.snapshot(of: world.nodes, height: 2, time: world.time)
        let two = SnapshotWorld.snapshot(of: Array(world.nodes.dropLast()), height: 2, time: world.time)
        let proposals = [node.propose(one, at: world.time), node.propose(two, at: world.time)]
        #expect(proposals == [true, false])
        #expect(node.due(me, epoch: 3_600, at: world.time) != nil)
        let item = try #require(node.sign(as: me) { Mock.sign($0, as: me) })
        _ = node.add([item], for: try #require(node.next?.digest), at: world.time)
        var restarted = SnapshotSigning(try world.client(), signed: node.signed)
        let isNew = restarted.propose(two, at: world.time)
        #expect(isNew)
        #expect(restarted.due(me, epoch: 3_600, at: world.time) == nil)
        // A node outside the trusted set has nothing to sign.
        #expect(node.due(NodeID(bytes32(9, 9)), epoch: 3_600, at: world.time) == nil)
        // After two epochs without a snapshot, the previous snapshot may be another one, so the node waits a quarter of
        // an epoch for news.
        for _ in 0..<3 { _ = world.pass(turnover: 0, reachable: 1) }
        var late = world.honest
        let time = UnixTime(seconds: world.time.seconds + 2 * 3_600)
        let isLate = late.propose(SnapshotWorld.snapshot(of: world.nodes, height: 9, time: time), at: time)
        #expect(isLate)
        #expect(late.due(me, epoch: 3_600, at: time) == nil)
        #expect(late.due(me, epoch: 3_600, at: UnixTime(seconds: time.seconds + 900)) != nil)
    }

    /// In a network with a registry file, the height of a snapshot follows from the clock.
    @Test("s27: a clock that was ahead for a moment costs no vote") func s27AheadForAMoment() throws {
        let hour: UInt64 = 3_600
        var world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        for _ in 0..<3 { _ = world.pass(turnover: 0, reachable: 1) }
        let me = world.first.snapshot.voters[2]
        func snapshot(_ height: UInt64) -> Snapshot {
            SnapshotWorld.snapshot(
                of: world.nodes, height: height, time: UnixTime(seconds: now.seconds + (height - 1) * hour))
        }
        let time = UnixTime(seconds: world.time.seconds + 60)
        let ahead = UnixTime(seconds: time.seconds + 9 * hour)
        var node = world.honest
        // The next snapshot, for which there is no wait, is not signed before its time.
        let coming = world.time.seconds + hour
        var isNew = node.propose(snapshot(5), at: UnixTime(seconds: coming))
        #expect(isNew && node.due(me, epoch: hour, at: UnixTime(seconds: coming - 601)) == nil)
        #expect(node.due(me, epoch: hour, at: UnixTime(seconds: coming - 600)) != nil)
        isNew = node.propose(snapshot(13), at: ahead)
        #expect(isNew && node.due(me, epoch: hour, at: ahead) == nil)
        // The clock is right again. The other nodes' next snapshot leads here.
        _ = world.pass(turnover: 0, reachable: 1)
        let later = UnixTime(seconds: world.time.seconds + 60)
        let update = try #require(world.honest.history.update(from: node.snapshot.height, digest: node.chain.digest))
        isNew = try node.follow(update, at: later, check: Mock.check)
        #expect(isNew && node.next?.snapshot.height == 13)
        for wait in [0, hour / 4, hour, 8 * hour - 661] {
            #expect(node.due(me, epoch: hour, at: UnixTime(seconds: later.seconds + wait)) == nil, "after \(wait) s")
        }
        // The true snapshot takes its place, and is signed.
        #expect(node.height(at: later) == 5 && node.height(at: ahead) == 13)
        let next = UnixTime(seconds: world.time.seconds + hour)
        isNew = node.propose(snapshot(6), at: next)
        #expect(isNew && node.due(me, epoch: hour, at: next)?.snapshot.height == 6)
        // One of a height that is proposed does not begin anew.
        isNew = node.propose(snapshot(6), at: next)
        #expect(!isNew && node.height(at: next) == 6)
    }

    @Test("s27: a node that waits for a snapshot that it may have missed waits on after an update")
    func s27TheWaitGoesOn() throws {
        let hour: UInt64 = 3_600
        var world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        for _ in 0..<3 { _ = world.pass(turnover: 0, reachable: 1) }
        let me = world.first.snapshot.voters[2]
        var node = world.honest
        _ = world.pass(turnover: 0, reachable: 1)
        let time = UnixTime(seconds: world.time.seconds + 2 * hour)
        let isNew = node.propose(SnapshotWorld.snapshot(of: world.nodes, height: 9, time: time), at: time)
        #expect(isNew)
        let update = try #require(world.honest.history.update(from: node.snapshot.height, digest: node.chain.digest))
        let isFollowed = try node.follow(update, at: time, check: Mock.check)
        #expect(isFollowed && node.snapshot.height == 5 && node.next?.snapshot.height == 9)
        #expect(node.due(me, epoch: hour, at: UnixTime(seconds: time.seconds + 899)) == nil)
        #expect(node.due(me, epoch: hour, at: UnixTime(seconds: time.seconds + 900)) != nil)
    }

    @Test("V1, s27: a node that cannot keep what it signs does not sign it") func s27NothingIsSignedUnwritten() throws {
        struct DiskFull: Error {}
        let world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        let me = world.first.snapshot.voters[2]
        var node = world.honest
        _ = node.propose(SnapshotWorld.snapshot(of: world.nodes, height: 2, time: world.time), at: world.time)
        var signatures = 0
        let sign = { (message: [UInt8]) -> [UInt8] in
            signatures += 1
            return Mock.sign(message, as: me)
        }
        #expect(throws: DiskFull.self) {
            try node.sign(as: me, keeping: { _ in throw DiskFull() }, by: sign)
        }
        #expect(signatures == 0 && node.signed == nil)
        // It stays due until the record can be written.
        #expect(node.due(me, epoch: 3_600, at: world.time) != nil)
        var kept: Bytes32?
        let item = node.sign(as: me, keeping: { kept = $0.digest }, by: sign)
        #expect(item != nil && signatures == 1 && kept == node.signed?.digest)
    }

    @Test("s25: a signature made before a restart counts after it, though the registry tells of later epochs only")
    func s25ASignatureOutlivesARestart() throws {
        let world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        let voters = world.first.snapshot.voters
        var nodes = voters.map { _ in world.honest }
        let next = SnapshotWorld.snapshot(of: world.nodes, height: 2, time: world.time)
        var items: [SnapshotSignatures.Item] = []
        var kept: [[UInt8]] = []
        for place in nodes.indices {
            _ = nodes[place].propose(next, at: world.time)
            items.append(
                nodes[place].sign(as: voters[place], keeping: { kept.append(SnapshotSigning.encode($0)) }) {
                    Mock.sign($0, as: voters[place])
                }!)
        }
        // All of them restart before any has received a signature of another.
        for place in nodes.indices {
            nodes[place] = try SnapshotSigning(try world.client(), history: nil, kept: kept[place], at: world.time)
            let due = try #require(nodes[place].due(voters[place], epoch: 3_600, at: world.time))
            let again = nodes[place].sign(as: voters[place]) { Mock.sign($0, as: voters[place]) }
            #expect(again == items[place])
            let isFinal = nodes[place].add(items, for: due.digest, at: world.time).isFinal
            #expect(isFinal && nodes[place].snapshot.height == 2)
        }
    }

    /// A damaged record is not ignored: a node that forgets its signature could sign another snapshot of that height.
    @Test func p5ADamagedPromiseIsNotForgotten() throws {
        let world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        var node = world.honest
        let voter = world.first.snapshot.voters[0]
        _ = node.propose(SnapshotWorld.snapshot(of: world.nodes, height: 2, time: world.time), at: world.time)
        var kept: [UInt8] = []
        _ = node.sign(as: voter, keeping: { kept = SnapshotSigning.encode($0) }) { Mock.sign($0, as: voter) }
        for length in 0..<kept.count {
            let bytes = Array(kept.prefix(length))
            #expect(throws: WireError.self) {
                try SnapshotSigning(try world.client(), history: nil, kept: bytes, at: world.time)
            }
        }
        for place in 0..<40 {
            var bytes = kept
            bytes[place] ^= 1
            #expect(throws: WireError.self, "byte \(place)") {
                try SnapshotSigning(try world.client(), history: nil, kept: bytes, at: world.time)
            }
        }
        let whole = try SnapshotSigning(try world.client(), history: nil, kept: kept, at: world.time)
        #expect(whole.signed == node.signed && whole.signed != nil)
    }

    @Test("P5: what was signed in another version of the format counts as signed, and is not proposed again")
    func p5AnotherVersion() throws {
        let world = try SnapshotWorld(nodes: 7, hostile: 0, seed: 1)
        var node = world.honest
        let voter = world.first.snapshot.voters[0]
        let next = SnapshotWorld.snapshot(of: world.nodes, height: 2, time: world.time)
        _ = node.propose(next, at: world.time)
        var kept: [UInt8] = []
        _ = node.sign(as: voter, keeping: { kept = SnapshotSigning.encode($0) }) { Mock.sign($0, as: voter) }
        for version: UInt8 in [0, 1, 3, 255] {
            kept[40] = version
            let found = try SnapshotSigning.signed(kept: kept)
            #expect(found.signed == node.signed && found.snapshot == nil)
            var again = try SnapshotSigning(try world.client(), history: nil, kept: kept, at: world.time)
            #expect(again.signed == node.signed && again.next == nil)
            // Another snapshot of that height is not signed.
            let other = SnapshotWorld.snapshot(of: Array(world.nodes.dropLast()), height: 2, time: world.time)
            let isNew = again.propose(other, at: world.time)
            #expect(isNew)
            #expect(again.due(voter, epoch: 3_600, at: world.time) == nil)
        }
    }

    /// Nodes that leave sign the snapshot without them.
    @Test func leaversSignTheNextSnapshot() throws {
        var world = try SnapshotWorld(nodes: 9, hostile: 0, seed: 2)
        let before = world.first.snapshot.voters
        _ = world.pass(turnover: 0.34, reachable: 1)
        let gone = before.filter { !world.honest.snapshot.isStaked($0) }
        #expect(gone.count == 3)
        let last = try #require(world.honest.last)
        for (place, node) in last.voters.enumerated() where gone.contains(node) { #expect(last.holds(place)) }
    }
}

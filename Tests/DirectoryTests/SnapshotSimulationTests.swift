import Directory
import DirectoryModel
import SeededRandom
import Testing
import Wire

/// Snapshots through months of simulated time, with hostile nodes.
///
/// `TUNIC_SNAPSHOT_NODES=2000 TUNIC_SNAPSHOT_EPOCHS=725` gives the full size.
struct SnapshotSimulationTests {
    static let nodes = setting("TUNIC_SNAPSHOT_NODES", 120)
    static let epochs = setting("TUNIC_SNAPSHOT_EPOCHS", 80)

    /// A client of the simulation.
    private struct Client {
        var chain: SnapshotChain
        /// The number of epochs between two questions.
        let sleep: Int
    }

    /// No client ever trusts a snapshot that was not final, whatever hostile nodes answer.
    ///
    /// If at least 72 % of the trusted set are honest, reachable and still staked, nobody is more than two epochs
    /// behind.
    @Test(arguments: [(0.1, 0.99), (0.2, 0.95), (0.25, 0.995), (0.27, 1.0), (1.0 / 3, 1.0), (1.0 / 3, 0.9)])
    func p5NoFalseAndNoOldRegistryIsEverAccepted(_ hostile: Double, _ reachable: Double) throws {
        let seed: UInt64 = 7
        var world = try SnapshotWorld(nodes: Self.nodes, hostile: hostile, seed: seed)
        var random = SeededGenerator(seed: seed)
        var clients: [Client] = []
        for sleep in [1, 1, 1, 2, 3, 5, 24, 24, 60] { clients.append(Client(chain: try world.client(), sleep: sleep)) }
        var old: [SnapshotUpdate] = []
        var goodEpochs = 0
        var refused = 0
        for epoch in 1...Self.epochs {
            let good = world.pass(turnover: 0.025, reachable: reachable)
            goodEpochs = good >= 0.72 ? goodEpochs + 1 : 0
            if goodEpochs > 2 { #expect(world.height - world.honest.snapshot.height <= 2, "seed \(seed)") }
            for place in clients.indices where epoch % clients[place].sleep == 0 {
                let before = clients[place].chain
                // Hostile answers come first, then an honest one, as if from several nodes.
                for answer in [world.forged(for: before), world.forged(for: before)] + old.suffix(3) {
                    if (try? clients[place].chain.accept(answer, at: world.time, check: Mock.check)) != true {
                        refused += 1
                    }
                }
                // An old answer may be new to this client, and true.
                let held = clients[place].chain
                #expect(held.snapshot.height >= before.snapshot.height, "seed \(seed), epoch \(epoch)")
                #expect(world.final[held.snapshot.height] == held.digest, "seed \(seed), epoch \(epoch)")
                let update = world.honest.history.update(from: held.snapshot.height, digest: held.digest)
                guard let update else { continue }
                let spoiled = world.spoiled(update)
                if (try? clients[place].chain.accept(spoiled, at: world.time, check: Mock.check)) != true {
                    refused += 1
                }
                let bytes = update.encoded()
                let read = try SnapshotUpdate(decoding: bytes.rawSpan)
                #expect(read == update)
                // A harmless change may have led the client here already.
                if clients[place].chain.digest == held.digest {
                    _ = try clients[place].chain.accept(read, at: world.time, check: Mock.check)
                }
                #expect(clients[place].chain.digest == world.honest.chain.digest, "seed \(seed), epoch \(epoch)")
                #expect(world.final[clients[place].chain.snapshot.height] == clients[place].chain.digest)
                if random.next() % 4 == 0 { old.append(update) }
            }
            if goodEpochs > 2 {
                for client in clients where client.sleep == 1 {
                    #expect(world.height - client.chain.snapshot.height <= 2, "seed \(seed), epoch \(epoch)")
                }
            }
        }
        #expect(refused > Self.epochs)
    }

    /// A client that slept for an hour, a day or 30 days catches up with one answer, in at most 10 MB with all
    /// descriptors.
    @Test(arguments: [0.0, 0.1, 0.25]) func whoSleptCatchesUp(_ hostile: Double) throws {
        var world = try SnapshotWorld(nodes: Self.nodes, hostile: hostile, seed: 3)
        let sleeps = [1, 24, 720].filter { $0 + 2 <= Self.epochs }
        var sleepers: [Int: SnapshotChain] = [:]
        for epoch in 1...Self.epochs {
            for sleep in sleeps where Self.epochs - epoch == sleep - 1 {
                var chain = try world.client()
                if let update = world.honest.history.update(from: 1, digest: chain.firstDigest) {
                    _ = try chain.accept(update, at: world.time, check: Mock.check)
                }
                #expect(chain.digest == world.honest.chain.digest)
                sleepers[sleep] = chain
            }
            _ = world.pass(turnover: 0.025, reachable: 1)
        }
        for sleep in sleeps {
            var chain = try #require(sleepers[sleep])
            let update = try #require(world.honest.history.update(from: chain.snapshot.height, digest: chain.digest))
            let size = update.encoded().count
            let withDescriptors = size + Self.nodes * 1_400
            print(
                "asleep for \(sleep) epochs, \(Int(hostile * 100)) % withhold: \(size) bytes, "
                    + "\(update.voterChanges.count) voter changes, "
                    + "\(update.votes.count) signatures; \(withDescriptors) bytes with all descriptors")
            #expect(withDescriptors <= 10_000_000)
            #expect(try chain.accept(update, at: world.time, check: Mock.check))
            #expect(chain.digest == world.honest.chain.digest)
        }
        // A node continues with its history from disk.
        let history = world.honest.history
        let kept = try #require(
            SnapshotHistory(kept: history.encoded(), first: world.first.snapshot, digest: world.first.snapshot.digest))
        #expect(kept.digest == history.digest)
        for chain in sleepers.values {
            #expect(
                kept.update(from: chain.snapshot.height, digest: chain.digest)?.votes
                    == history.update(from: chain.snapshot.height, digest: chain.digest)?.votes)
        }
        // A node that was away serves others from the update that it received.
        if let (_, chain) = sleepers.min(by: { $0.key > $1.key }), hostile == 0 {
            var other = SnapshotSigning(try world.client())
            let update = try #require(history.update(from: 1, digest: chain.firstDigest))
            var accepted = other.chain
            _ = try accepted.accept(update, at: world.time, check: Mock.check)
            let isTaken = other.take(update, accepted: accepted)
            #expect(isTaken)
            var late = try world.client()
            let relayed = try #require(other.history.update(from: 1, digest: late.firstDigest))
            #expect(try late.accept(relayed, at: world.time, check: Mock.check))
        }
    }
}

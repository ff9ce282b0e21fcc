import DirectoryModel
import SeededRandom
import Testing

/// Honest nodes and clients that follow snapshots beside a hostile node, by seed.
///
/// `SNAPSHOT_SEEDS=1000 SNAPSHOT_FIRST=1 swift test --filter SnapshotModelTests` runs 1,000 seeds; a trap names none, so
/// that the seeds are printed then.
@Suite struct SnapshotModelTests {
    static let first = setting("SNAPSHOT_FIRST", 0)
    static let seeds = (max(1, first)..<max(1, first) + setting("SNAPSHOT_SEEDS", 10)).map { UInt64($0) }

    @Test("honest nodes trust one snapshot of a height beside a hostile node, and come to the newest", arguments: seeds)
    func promises(seed: UInt64) {
        if Self.first > 0 { print("seed \(seed)") }
        var random = SeededGenerator(seed: seed)
        let model = SnapshotModel(voters: 4 + Int(seed % 3), isForgetful: seed % 4 == 0)
        for _ in 0..<400 { model.step { bound in Int(random.next() % UInt64(max(1, bound))) } }
        model.finish()
        let reached = model.reached
        if Self.first > 0 { print("seed \(seed): \(reached)") }
        // Other seeds may try less of this.
        #expect(Self.first > 0 || reached.collected + reached.updates > 3, "seed \(seed): \(reached)")
        #expect(reached.attacks > 20, "seed \(seed): \(reached)")
    }
}

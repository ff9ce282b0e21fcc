import OnionModel
import SeededRandom
import Testing

/// Builds, layers and tables on a network that loses, reorders, repeats and changes packets, beside a hostile node.
@Suite struct OnionModelTests {
    @Test("honest ends keep every promise beside a hostile hop", arguments: 1...8 as ClosedRange<UInt64>)
    func promises(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let model = OnionModel()
        for _ in 0..<2_500 { model.step { bound in Int(random.next() % UInt64(max(1, bound))) } }
        let reached = model.reached
        #expect(reached.paths > 5 && reached.mixedPaths > 5 && reached.failures > 5, "seed \(seed): \(reached)")
        #expect(reached.delivered > 50 && reached.opened > 50 && reached.dropped > 50, "seed \(seed): \(reached)")
        #expect(
            reached.refusedRecords > 10 && reached.hostilePaths > 5 && reached.removed > 5, "seed \(seed): \(reached)")
    }
}

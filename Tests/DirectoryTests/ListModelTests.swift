import DirectoryModel
import SeededRandom
import Testing

/// Honest nodes and a client that agree on lists of descriptors beside a hostile node, by seed.
///
/// `LIST_SEEDS=1000 LIST_FIRST=1 swift test --filter ListModelTests` runs 1,000 seeds; a trap names none, so that the
/// seeds are printed then.
@Suite struct ListModelTests {
    static let first = setting("LIST_FIRST", 0)
    static let seeds = (max(1, first)..<max(1, first) + setting("LIST_SEEDS", 10)).map { UInt64($0) }

    @Test("honest nodes agree on one list of a round beside a hostile node, with all of them", arguments: seeds)
    func promises(seed: UInt64) {
        if Self.first > 0 { print("seed \(seed)") }
        var random = SeededGenerator(seed: seed)
        let model = ListModel()
        for _ in 0..<300 { model.step { bound in Int(random.next() % UInt64(max(1, bound))) } }
        model.finish()
        let reached = model.reached
        if Self.first > 0 { print("seed \(seed): \(reached)") }
        #expect(reached.descriptors > 3 && reached.rounds > 0, "seed \(seed): \(reached)")
        #expect(reached.attacks > 20, "seed \(seed): \(reached)")
    }
}

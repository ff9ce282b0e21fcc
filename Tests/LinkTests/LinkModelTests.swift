import LinkModel
import SeededRandom
import Testing

/// Handshakes, keys and addresses on a network that loses, reorders, repeats and changes packets.
@Suite struct LinkModelTests {
    @Test("two honest ends and a hostile one keep every promise", arguments: 1...12 as ClosedRange<UInt64>)
    func promises(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var model = LinkModel(isNode: seed % 3 == 0)
        for _ in 0..<3_000 { model.step { bound in Int(random.next() % UInt64(max(1, bound))) } }
        let reached = model.reached
        #expect(reached.links > 0 && reached.opened > 20 && reached.hostileLinks > 0, "seed \(seed): \(reached)")
    }

    @Test("the model gets to new keys and to other addresses") func reaches() {
        var rekeys = 0
        var moves = 0
        for seed in UInt64(100)..<108 {
            var random = SeededGenerator(seed: seed)
            var model = LinkModel(isNode: false)
            for _ in 0..<3_000 { model.step { bound in Int(random.next() % UInt64(max(1, bound))) } }
            rekeys += model.reached.rekeys
            moves += model.reached.moves
        }
        #expect(rekeys > 0 && moves > 0)
    }
}

import Glibc
import LinksModel
import SeededRandom
import Testing

/// Links of two nodes and a client beside a hostile peer, by seed.
///
/// `LINKS_SEEDS=200 LINKS_FIRST=1 swift test --filter LinksModelTests` runs 200 seeds; a trap names none, so that the
/// seeds are printed then.
@Suite struct LinksModelTests {
    private static func number(_ name: String) -> UInt64? {
        unsafe getenv(name).flatMap { unsafe UInt64(String(cString: $0)) }
    }

    static let seeds: [UInt64] = {
        let first = number("LINKS_FIRST") ?? 1
        return (first..<first + (number("LINKS_SEEDS") ?? 12)).map { $0 }
    }()

    private static func run(_ seed: UInt64, steps: Int) -> LinksModel.Reached {
        var random = SeededGenerator(seed: seed)
        let model = LinksModel(seed: seed)
        for _ in 0..<steps { model.step { bound in Int(random.next() % UInt64(max(1, bound))) } }
        model.finish()
        return model.reached
    }

    @Test("honest links keep every promise beside a hostile peer", arguments: seeds)
    func promises(seed: UInt64) {
        let isChosen = Self.number("LINKS_FIRST") != nil
        if isChosen { print("seed \(seed)") }
        let reached = Self.run(seed, steps: 300)
        if isChosen { print("seed \(seed): \(reached)") }
        #expect(reached.links > 3 && reached.messages > 5, "seed \(seed): \(reached)")
        // Other seeds may try less of this.
        #expect(isChosen || reached.packets > 5 && reached.hostileLinks > 0, "seed \(seed): \(reached)")
    }
}

import Directory
import SeededRandom
import Testing
import Wire

/// Properties of many path selections together.
///
/// `TUNIC_DRAWS=100000` gives the full size.
struct DrawTests {
    /// No operator has more than its share at any position, no two hops share an operator or an address range, a
    /// suspended node is never a hop, and guards are from the sample.
    @Test func p1P2P3P7ManyDrawsKeepToTheRules() throws {
        let draws = setting("TUNIC_DRAWS", 3_000)
        let count = draws >= 100_000 ? 2_000 : 300
        // Some operators hold far more than their share: the first has ten heavy nodes, the second ten less heavy ones.
        let suspended = Set((0..<count).filter { $0 % 17 == 3 })
        let town = Town(
            count: count, perOperator: 10, perRange: 2, suspended: suspended,
            weight: { $0 < 10 ? 900_000 : $0 < 20 ? 300_000 : UInt32(1_000 + $0 % 50 * 100) })
        let selector = town.selector()
        let put = Set(suspended.map { town.node($0) })
        var generator = SeededGenerator(seed: 23)
        var shares = [[Bytes32: Int]](repeating: [:], count: 3)
        var guards = Guards()
        for draw in 0..<draws {
            // Each client uses its own guards for 50 paths.
            if draw % 50 == 0 { guards = Guards() }
            let path = try selector.select(
                terminal: .exit([.tcp]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            #expect(Set(path.hops.map { town.operators[$0]! }).count == 3)
            #expect(Set(path.hops.map { town.ranges[$0]! }).count == 3)
            #expect(Set(path.hops).count == 3 && put.isDisjoint(with: path.hops))
            #expect(guards.primaries.contains { $0.node == path.hops[0] })
            for (place, hop) in path.hops.enumerated() { shares[place][town.operators[hop]!, default: 0] += 1 }
        }
        for (place, counts) in shares.enumerated() {
            let largest = Double(counts.values.max() ?? 0) / Double(draws)
            // Guards are drawn anew only for every 50th path, so their shares vary more.
            let slack = (place == 0 ? 7.0 : 1.0) * 4 * (0.1 * 0.9 / Double(draws)).squareRoot()
            #expect(largest <= 0.1 + slack, "hop \(place + 1): \(largest)")
            print("largest share of an operator at hop \(place + 1) of \(draws) paths: \(largest)")
        }
    }
}

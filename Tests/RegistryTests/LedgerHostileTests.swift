import Glibc
import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Registry

/// The number of seeds of the simulations with hostile authorities: LEDGER_RUNS, or 24.
private let runs = unsafe getenv("LEDGER_RUNS").flatMap { unsafe UInt64(String(cString: $0)) } ?? 24

/// Simulations in which some authorities are hostile, in all ways of `LedgerCabal`.
///
/// Safety holds with fewer than 2k − n hostile authorities; liveness also needs fewer than n − k + 1.
@Suite struct LedgerHostileTests {
    private func hostile(_ count: Int, of authorities: Int, _ random: inout SeededGenerator) -> [Int: LedgerCabal.Kind]
    {
        var kinds: [Int: LedgerCabal.Kind] = [:]
        for index in (0..<authorities).shuffled(using: &random).prefix(count) {
            kinds[index] = LedgerCabal.Kind.allCases.randomElement(using: &random)!
        }
        // A follower that announces blocks that it does not have.
        if Bool.random(using: &random) { kinds[authorities] = .announcing }
        return kinds
    }

    /// First there are loss, delay and kills, then a network that delivers; the hostile authorities act all the time.
    @Test(arguments: 0..<runs)
    func s02ThereIsOneBlockAtEachHeightAndAlwaysANext(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed &* 31 &+ 5)
        let count = 4 + Int(seed % 10)
        // The threshold that withstands the most, or any that withstands one.
        let threshold =
            Bool.random(using: &random)
            ? count * 2 / 3 + 1 : Int.random(in: (count + 3) / 2...count - 1, using: &random)
        let most = min(count - threshold, 2 * threshold - count - 1)
        let kinds = hostile(Int.random(in: 1...most, using: &random), of: count, &random)
        let realm = Realm(authorities: UInt64(count), threshold: threshold)
        let town = LedgerSimulation(realm, followers: 2, seed: seed, skew: 100, hostile: kinds)
        town.conditions.loss = Int.random(in: 0...20, using: &random)
        town.conditions.delay = [5, 50, 400].randomElement(using: &random)!
        town.conditions.kills = [0, 5].randomElement(using: &random)!
        town.run(for: 15_000)
        town.conditions = .init()
        for index in town.honest { town.revive(index) }
        town.run(for: 5_000)
        let height = town.height
        town.run(for: 40_000)
        // Each hostile authority costs its own slot and the one before it.
        let period = 2 + 2 * UInt64(kinds.count) + 2
        #expect(
            town.height >= height + 40 / period,
            "\(threshold) of \(count) authorities, \(kinds): \(height) to \(town.height)")
        let least = town.honest.map { town.nodes[$0]!.chain.height }.min()!
        #expect(
            least + 4 >= town.height,
            "\(threshold) of \(count) authorities, \(kinds): one has \(least) of \(town.height)")
        #expect(town.finals.count == Int(town.height))
        // A hostile authority of a kind that leads has led.
        let passive: [LedgerCabal.Kind] = [.ahead, .garbage, .announcing, .silent, .wasting]
        let leads = kinds.contains { $0.key < count && !passive.contains($0.value) }
        #expect((town.cabal.plots > 0) == leads, "\(count) authorities, \(kinds)")
    }

    /// With enough hostile authorities to stop the chain, but too few for two blocks of one height; the simulation
    /// records a second one.
    ///
    /// The clocks of honest authorities jump by minutes, in both directions.
    @Test(arguments: 0..<runs / 4)
    func s02NoHeightGetsTwoBlocksWhereTheHostileCanStopAll(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed &* 17 &+ 3)
        let count = 4 + Int(seed * 3 % 10)
        let threshold = Int.random(in: count * 2 / 3 + 1...count, using: &random)
        let kinds = hostile(2 * threshold - count - 1, of: count, &random)
        let town = LedgerSimulation(
            Realm(authorities: UInt64(count), threshold: threshold), followers: 1, seed: seed, skew: 100,
            hostile: kinds)
        for second in 0..<30 as Range<UInt64> {
            let index = town.honest.randomElement(using: &random)!
            let before = town.skews[index]
            if second % 3 == 0 { town.skews[index] = Int64.random(in: -200_000...200_000, using: &random) }
            town.run(for: 1_000)
            town.skews[index] = before
        }
        #expect(town.finals.count == Int(town.height))
    }
}

import SeededRandom
import Testing
import Wire

@testable import Directory

/// The time until a hostile middle is next to a client's guard: with second hops drawn for each path, and with an inner
/// set.
///
/// `TUNIC_DISCOVERY_CLIENTS=2000` gives the full size; it prints the table of docs/threat-model.md.
struct GuardDiscoverySimulation {
    private static let spans: [(name: String, hours: Int)] = [("hour", 1), ("day", 24), ("month", 720)]
    private static let shares = [0.01, 0.05, 0.1]

    /// The second hops that a client's guards have seen: their number, and the probability of a hostile one.
    private struct Outcome {
        var distinct = 0.0
        /// The probability that one of them was hostile, by the share of hostile nodes.
        var met = [0.0, 0.0, 0.0]
    }

    /// The exact result for second hops drawn by weight for each of `paths` paths.
    private func drawnAnew(_ weights: [Double], paths: Double) -> Outcome {
        let total = weights.reduce(0, +)
        var outcome = Outcome()
        for weight in weights { outcome.distinct += 1 - power(1 - weight / total, paths) }
        outcome.met = Self.shares.map { 1 - power(1 - $0, paths) }
        return outcome
    }

    private func power(_ base: Double, _ exponent: Double) -> Double {
        var (result, factor, left) = (1.0, base, UInt64(exponent))
        while left > 0 {
            if left & 1 == 1 { result *= factor }
            factor *= factor
            left >>= 1
        }
        return result
    }

    @Test("s07: with an inner set a month shows a guard's client to fewer nodes than ten seconds did without")
    func discovery() throws {
        let clients = setting("TUNIC_DISCOVERY_CLIENTS", 25)
        let weights = (0..<240).map { UInt32(500 + $0 * 37 % 4_000) }
        let town = Town(count: weights.count, weight: { weights[$0] })
        let selector = town.selector()
        var kept = [Outcome](repeating: Outcome(), count: Self.spans.count)
        for client in 0..<clients {
            var generator = SeededGenerator(seed: UInt64(client))
            var guards = Guards()
            var seen: Set<NodeID> = []
            // A node is kept for at least a day, so a look every six hours misses none.
            for hour in 0..<720 where hour < 2 || hour % 6 == 0 {
                let time = UnixTime(seconds: now.seconds + UInt64(hour) * 3_600)
                guards.ageWhileOff(upTo: time)
                // Sometimes the guards do not reach one of them.
                for member in guards.inner.members where UInt64.random(in: 0..<20, using: &generator) == 0 {
                    for (place, entry) in guards.primaries.enumerated() {
                        let moment = UnixTime(seconds: time.seconds - 10 * UInt64(1 - place))
                        guards.inner.failed(member.node, by: entry.node, at: moment)
                    }
                }
                for _ in 0..<4 {
                    _ = try selector.select(
                        terminal: .exit([]), guards: &guards, health: NodeHealth(), at: time, using: &generator)
                }
                seen.formUnion(guards.inner.members.map(\.node))
                for (span, length) in Self.spans.enumerated() where [0, 18, 714][span] == hour {
                    #expect(length.hours > 0)
                    kept[span].distinct += Double(seen.count) / Double(clients)
                    for (index, share) in Self.shares.enumerated() {
                        kept[span].met[index] += (1 - power(1 - share, Double(seen.count))) / Double(clients)
                    }
                }
            }
        }
        func text(_ outcome: Outcome) -> String {
            "\((outcome.distinct * 10).rounded() / 10) | "
                + outcome.met.map { "\(($0 * 1_000).rounded() / 10) %" }.joined(separator: " | ")
        }
        let middles = weights.map(Double.init)
        for (span, length) in Self.spans.enumerated() {
            let hours = Double(length.hours)
            // Honest exit: two sessions of two legs, each renewed every quarter of an hour. Hostile exit: 60 builds at
            // once, then two a second.
            print("| \(length.name), drawn anew, honest exit | \(text(drawnAnew(middles, paths: 16 * hours))) |")
            print(
                "| \(length.name), drawn anew, hostile exit | \(text(drawnAnew(middles, paths: 60 + 7_200 * hours))) |")
            print("| \(length.name), inner set, any exit | \(text(kept[span])) |")
        }
        let tenSeconds = drawnAnew(middles, paths: 80)
        #expect(kept[2].distinct < tenSeconds.distinct / 3)
        #expect(kept[0].distinct < 4.5 && kept[1].distinct < 6 && kept[2].distinct < 16)
        #expect(kept[0].met[0] < 0.05 && kept[2].met[0] < 0.15)
    }
}

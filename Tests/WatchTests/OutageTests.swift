import Glibc
import Registry
import Testing
import Wire

@testable import Watch

/// How many seeds are tried: `WATCH_SEEDS`, with which the great networks are tried as well.
private let seeds = unsafe getenv("WATCH_SEEDS").flatMap { unsafe UInt64(String(cString: $0)) }

/// Networks of which a third is away for a time: nobody else is put out, and who comes back is active again.
struct OutageTests {
    private enum Kind: CaseIterable {
        case stopped, frozen, restarted, cutOff
    }

    /// One node's absence.
    private struct Outage {
        let kind: Kind
        let from: Double
        let to: Double
        func covers(_ time: Double) -> Bool { time >= from && time < to }
    }

    @Test(
        "S2: with a third away no healthy node is put out, and all that come back in time are active again",
        arguments: [3, 5, 10] + (seeds == nil ? [] : [50, 300]))
    func s2AThirdAway(_ count: Int) throws {
        for seed in 0..<(seeds ?? (count == 10 ? 2 : 5)) { try run(count, seed: seed) }
    }

    private func run(_ count: Int, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed &* 31 &+ UInt64(count))
        // In great networks each node is tested by others as often as it is in the field, not more.
        let epoch = count > 10 ? 600.0 : 30
        let credit = 4 * epoch
        let world = try World(count, seed: seed, blockSeconds: max(2, epoch / 30), epochSeconds: UInt64(epoch)) {
            $0.creditAtStart = UInt32(credit)
            $0.creditGrace = UInt32(epoch)
        }
        world.goesOn = true
        let start = 4 * epoch
        var outages: [Int: Outage] = [:]
        for node in (0..<count).shuffled(using: &random).prefix(count / 3) {
            let kind = Kind.allCases.randomElement(using: &random)!
            let from = start + Double.random(in: 0..<epoch, using: &random)
            let length = kind == .restarted ? 0.02 * epoch...0.2 * epoch : 0.2 * epoch...credit - 1
            outages[node] = Outage(kind: kind, from: from, to: from + Double.random(in: length, using: &random))
        }
        for (node, outage) in outages where outage.kind == .frozen { world.stalls[node] = [outage.to] }
        world.reaches = { a, b, time in
            for node in a == b ? [a] : [a, b] {
                guard let outage = outages[node], outage.covers(time) else { continue }
                // Whoever is cut off runs on.
                if a != b || outage.kind != .cutOff { return false }
            }
            return true
        }
        let end = (outages.values.map(\.to).max() ?? start) + 3 * epoch
        world.run(until: end)
        let context: Comment = "\(count) nodes, seed \(seed): \(outages), \(world.verdicts)"
        for verdict in world.verdicts where verdict.verdict == .decommission {
            // A verdict takes a while; nobody is judged who has been back for a quarter of an epoch.
            let outage = outages[verdict.node]
            #expect(outage.map { verdict.time > $0.from && verdict.time < $0.to + epoch / 4 } ?? false, context)
        }
        for number in 0..<count { #expect(world.standing(number) == .active, context) }
        #expect(world.state.locks.isEmpty && world.state.isBalanced)
    }

    @Test("S2: a network of three with a dead node goes on, and is whole again when it is back")
    func s2ThreeNodesOfTheGuide() throws {
        let world = try World(3, seed: 1)
        world.goesOn = true
        world.reaches = { a, b, time in !((a == 2 || b == 2) && time >= 60 && time < 1_500) }
        world.run(until: 1_600)
        #expect(world.verdicts.isEmpty)
        for number in 0..<3 { #expect(world.standing(number) == .active) }
    }

    @Test("S1: three short outages cost three times their length, and nothing else")
    func s1ThreeShortOutages() throws {
        let world = try World(6, seed: 2) {
            $0.creditAtStart = 600
            $0.creditGrace = 60
        }
        world.reaches = { a, b, time in
            !((a == 4 || b == 4) && [100, 300, 500].contains { time >= $0 && time < $0 + 27 })
        }
        world.run(until: 600)
        #expect(world.verdicts.allSatisfy { $0.node == 4 })
        #expect(world.standing(4) == .active)
        let node = try #require(world.state.nodes[world.ids[4]])
        #expect(node.credit(at: world.state.time, world.state.parameters) > 600 - 3 * 60)
    }

    @Test("S2: half of the network gone for good costs nobody else his place, and the rest goes on")
    func s2HalfGoneForGood() throws {
        let world = try World(10, seed: 3) {
            $0.creditAtStart = 120
            $0.creditGrace = 30
        }
        world.goesOn = true
        world.reaches = { a, b, time in !((a < 3 || b < 3) && time >= 60) }
        world.run(until: 700)
        for number in 3..<10 { #expect(world.standing(number) == .active) }
        for number in 0..<3 { #expect(world.standing(number) == nil) }
    }
}

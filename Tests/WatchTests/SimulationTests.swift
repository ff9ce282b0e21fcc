import Registry
import Testing
import Wire

@testable import Watch

/// Whole networks whose nodes judge each other, by seed.
struct SimulationTests {
    @Test(arguments: [1]) func aDeadNodeIsDecommissionedWithinItsCreditAndLaterPutOut(_ seed: UInt64) throws {
        let world = try World(13, seed: seed) { $0.creditAtStart = 300 }
        world.reaches = { a, b, time in !((a == 4 || b == 4) && time >= 100) }
        world.run(until: 220)
        let verdict = try #require(world.verdicts.first)
        #expect(world.verdicts.count == 1 && verdict.verdict == .decommission && verdict.node == 4)
        #expect(verdict.time < 100 + 120, "after \(verdict.time - 100) s")
        #expect(world.standing(4) == .decommissioned)
        world.run(until: 700)
        #expect(world.standing(4) == nil)
        #expect(world.state.locks.count == 1 && world.state.isBalanced)
        #expect(world.verdicts.count == 1)
    }

    @Test(arguments: [1]) func aNodeThatIsBackIsRecommissioned(_ seed: UInt64) throws {
        let world = try World(13, seed: seed)
        world.reaches = { a, b, time in !((a == 4 || b == 4) && time >= 100 && time < 250) }
        world.run(until: 250)
        #expect(world.standing(4) == .decommissioned)
        world.run(until: 340)
        #expect(world.standing(4) == .active)
        #expect(world.verdicts.map(\.verdict) == [.decommission, .recommission])
        // The node stays active.
        world.run(until: 450)
        #expect(world.verdicts.count == 2)
    }

    @Test(arguments: [5, 13]) func inAQuietNetworkNobodyIsJudged(_ count: Int) throws {
        let world = try World(count, seed: 7)
        world.run(until: 300)
        #expect(world.verdicts.isEmpty && world.refused == 0)
        // About one test a second for each node at this epoch, and at first one more for each pair.
        #expect(world.tests < count * 300 * 2 + count * count * 2)
    }

    @Test(arguments: [1, 2]) func sixFalseAccusersOfTenPutNobodyOut(_ seed: UInt64) throws {
        // With eleven nodes, every quorum is the ten others. Six of the eleven lie.
        let world = try World(11, seed: seed)
        world.liars = [0, 1, 2, 3, 4, 5]
        world.run(until: 120)
        #expect(world.verdicts.isEmpty)
        for number in 0..<11 { #expect(world.standing(number) == .active) }
    }

    @Test func sevenFalseAccusersOfTenDo() throws {
        let world = try World(11, seed: 1)
        world.liars = [0, 1, 2, 3, 4, 5, 6]
        world.run(until: 60)
        #expect(!world.verdicts.isEmpty)
    }

    @Test(arguments: [1]) func aThirdOfLiarsCannotSaveADeadNodeNorPutOutAnother(_ seed: UInt64) throws {
        let world = try World(16, seed: seed)
        world.liars = Set(0..<4)
        world.reaches = { a, b, time in !((a == 12 || b == 12) && time >= 60) }
        world.run(until: 185)
        #expect(world.verdicts.map(\.node) == [12])
    }

    @Test(arguments: [1, 2]) func aSplitNetworkPutsNobodyOut(_ seed: UInt64) throws {
        let world = try World(13, seed: seed)
        world.reaches = { a, b, time in time < 60 || time >= 200 || (a < 7) == (b < 7) }
        world.run(until: 300)
        #expect(world.verdicts.isEmpty)
        for number in 0..<13 { #expect(world.standing(number) == .active) }
    }

    @Test(arguments: [1, 2]) func aNodeThatReachesNobodyPutsNobodyOut(_ seed: UInt64) throws {
        let world = try World(13, seed: seed)
        // Only messages of node 2's own process reach it.
        world.reaches = { a, b, time in a == b || !(a == 2 || b == 2) || time < 60 }
        world.run(until: 300)
        #expect(world.verdicts.allSatisfy { $0.node == 2 })
        // Until it doubts itself it may vote, but alone.
        #expect(world.juries[2].cast <= 3 && world.juries[2].submitted == 0)
    }

    @Test(arguments: [1]) func aNodeThatFlapsUsesUpItsCredit(_ seed: UInt64) throws {
        let world = try World(13, seed: seed) {
            $0.creditAtStart = 300
            $0.creditGrace = 60
        }
        // The node is away for two minutes of every three.
        world.reaches = { a, b, time in !((a == 4 || b == 4) && time.truncatingRemainder(dividingBy: 180) >= 60) }
        world.run(until: 1_500)
        let own = world.verdicts.filter { $0.node == 4 }
        #expect(own.count == world.verdicts.count)
        #expect(world.standing(4) == nil, "\(own.map { "\($0.verdict) at \($0.time)" })")
        // The node is judged a few times, not every time it flaps.
        #expect(own.count <= 8)
    }

    /// Compares the verdicts on a dead node of forty with and without a node that asks for every possible test.
    @Test func s09AFloodOfSuspicionsChangesNoVerdict() throws {
        func verdicts(flooded: Bool) throws -> (decommissioned: Double?, out: Bool, others: Int) {
            let world = try World(40, seed: 3) {
                $0.creditAtStart = 70
                $0.creditGrace = 0
            }
            world.reaches = { a, b, time in !((a == 7 || b == 7) && time >= 60) }
            if flooded {
                // The flooder knows the judges.
                // It asks each about all others, for both verdicts, before any other node asks.
                let places = Dictionary(uniqueKeysWithValues: world.ids.enumerated().map { ($1, $0) })
                world.afterBlock = { world in
                    guard let quorum = world.state.quorums.last, world.time < 110 else { return }
                    for member in quorum.nodes {
                        let number = places[member]!
                        for id in world.ids where id != member && id != world.ids[7] {
                            for verdict in RegistryOperation.Judgment.allCases {
                                let ballot = Ballot(verdict: verdict, node: id, height: quorum.height)
                                world.ask(ballot, number, from: 3)
                            }
                        }
                    }
                }
            }
            world.run(until: 185)
            return (
                world.verdicts.first { $0.node == 7 }?.time, world.standing(7) == nil,
                world.verdicts.count { $0.node != 7 }
            )
        }
        let (plain, flooded) = (try verdicts(flooded: false), try verdicts(flooded: true))
        let (quiet, loud) = (try #require(plain.decommissioned), try #require(flooded.decommissioned))
        #expect(loud <= quiet + 20, "after \(quiet - 60) s, and \(loud - 60) s in the flood")
        #expect(plain.out && flooded.out && plain.others == 0 && flooded.others == 0)
    }
}

import OnionCrypto
import Registry
import Testing
import Wire

/// The judges of a node, the votes that they need, and the effect of verdicts.
@Suite struct VerdictTests {
    /// A town with `count` active nodes and a block after they became active.
    private func town(_ count: Int) -> Town {
        var town = Town()
        town.settle(0..<count)
        town.next(after: 120)
        return town
    }

    @Test func sevenOfTenDecide() {
        var town = town(20)
        town.refuse(0, town.verdict(.decommission, 3, places: 0..<6), .tooFewVotes(votes: 6, needed: 7))
        town.refuse(0, town.verdict(.decommission, 3, places: 0..<0), .tooFewVotes(votes: 0, needed: 7))
        town.refuse(0, town.verdict(.decommission, 3, places: 4..<11), .notInQuorum(place: 10))
        town.refuse(0, town.verdict(.decommission, 3, places: [0, 1, 2, 3, 4, 5, 5]), .wrongVote(place: 5))
        town.refuse(0, town.verdict(.recommission, 3, places: 0..<7), .notDecommissioned)
        town.run(0, town.verdict(.decommission, 3, places: 3..<10))
        #expect(town.node(3)?.standing == .decommissioned)
        #expect(town.state.snapshot()?.entry(of: Town.nodeIDs[3])?.isStaked == false)
        #expect(town.state.snapshot()?.stakedCount == 19)
    }

    @Test(arguments: [(4, 3), (6, 4), (8, 5), (11, 7), (12, 7)])
    func aSmallNetworkDecidesInProportion(_ count: Int, _ needed: Int) {
        var town = town(count)
        #expect(town.state.judges(of: Town.nodeIDs[0], height: 2).count == min(10, count - 1))
        let less = town.verdict(.decommission, 0, places: 0..<UInt8(needed - 1))
        town.refuse(1, less, .tooFewVotes(votes: needed - 1, needed: needed))
        town.run(1, town.verdict(.decommission, 0, places: 0..<UInt8(needed)))
    }

    @Test(arguments: [1, 5, 11, 12]) func aQuorumIsFoundByItsHeight(_ count: Int) throws {
        var town = town(count)
        for block in 0..<70 {
            if block % 7 == 3 {
                // Heights may be skipped.
                let height = town.state.height + 3
                try town.state.begin(
                    height: height, time: town.state.time + 1, block: bytes32(5, height), seed: bytes32(5, height))
            }
            town.next(after: 1)
        }
        for height in 0...town.state.height + 2 {
            let quorum = town.state.quorums.first { $0.height == height }
            #expect(town.state.quorum(at: height) == quorum)
            for node in Town.nodeIDs.prefix(count + 1) {
                let judges = town.state.judges(of: node, height: height)
                #expect(judges == Array((quorum?.nodes ?? []).filter { $0 != node }.prefix(10)))
                for judge in Town.nodeIDs.prefix(count + 1) {
                    #expect(town.state.isJudge(judge, of: node, height: height) == judges.contains(judge))
                }
            }
        }
    }

    @Test func nobodyJudgesAlone() {
        var town = town(1)
        town.refuse(1, town.verdict(.decommission, 0, places: 0..<1), .notInQuorum(place: 0))
        town.refuse(1, town.verdict(.decommission, 0, places: 0..<0), .tooFewVotes(votes: 0, needed: 1))
    }

    @Test func votesAreForOneVerdictOnOneNode() {
        var town = town(20)
        guard case .judge(_, _, let height, let votes) = town.verdict(.decommission, 3, places: 0..<7) else {
            Issue.record("no verdict")
            return
        }
        // Nodes 3 and 4 have different judges only if one of them is in the quorum; the ballot differs in any case.
        town.refuse(
            0, .judge(.decommission, node: Town.nodeIDs[4], height: height, votes: votes), .wrongVote(place: 0))
        town.refuse(
            0, .judge(.recommission, node: Town.nodeIDs[3], height: height, votes: votes), .wrongVote(place: 0))
        town.refuse(
            0, .judge(.decommission, node: Town.nodeIDs[3], height: height + 1, votes: votes), .unknownQuorum)
        town.refuse(0, town.verdict(.decommission, 40, places: 0..<7), .unknownNode)
        town.run(town.registration(25, 41, stake: full / 2))
        town.refuse(0, town.verdict(.decommission, 41, places: 0..<7), .notFull)
    }

    @Test func aQuorumJudgesForSixtyHeights() {
        var town = town(12)
        let height = town.state.height
        for _ in 0..<59 { town.next(after: 120) }
        var late = town
        town.run(0, town.verdict(.decommission, 3, height: height, places: 0..<7))
        late.next(after: 0)
        late.refuse(0, late.verdict(.decommission, 3, height: height, places: 0..<7), .unknownQuorum)
    }

    @Test func votesAreNotUsedTwice() {
        var town = town(12)
        let old = town.verdict(.decommission, 3, places: 0..<7)
        town.run(0, old)
        town.refuse(0, old, .staleVotes)
        town.next(after: 60)
        town.run(0, town.verdict(.recommission, 3, places: 0..<7))
        town.refuse(0, old, .staleVotes)
        #expect(town.node(3)?.standing == .active)
        town.next(after: 60)
        town.refuse(0, old, .staleVotes)
    }

    @Test func creditGrowsToItsLimit() throws {
        var town = town(12)
        let first = try #require(town.node(0))
        #expect(first.credit(at: start, town.state.parameters) == 7_200)
        #expect(first.credit(at: start + day, town.state.parameters) == 7_200 + 2_880)
        #expect(first.credit(at: start + 29, town.state.parameters) == 7_200)
        #expect(first.credit(at: start + 30, town.state.parameters) == 7_201)
        let filled = (172_800 - 7_200) / 2_880 * day
        #expect(first.credit(at: start + filled, town.state.parameters) == 7_200 + filled / 30)
        #expect(first.credit(at: start + 1_000 * day, town.state.parameters) == 172_800)
        town.next(after: day)
        town.run(0, town.verdict(.decommission, 0, places: 0..<7))
        let judged = try #require(town.node(0))
        #expect(judged.credit(at: town.state.time, town.state.parameters) == 7_200 + (day + 120) / 30)
    }

    @Test func creditUsedUpDeregistersAndLocksTheStake() {
        var town = town(12)
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        let credit = 7_200 + 120 / 30 as UInt64
        #expect(town.node(3)?.deregistersAt == town.state.time + credit + 3_600)
        town.pass(credit)
        #expect(town.node(3)?.credit(at: town.state.time, town.state.parameters) == 0)
        town.pass(3_599)
        #expect(town.node(3)?.standing == .decommissioned)
        town.next(after: 1)
        #expect(town.node(3) == nil)
        #expect(town.state.locks.map(\.node) == [Town.nodeIDs[3]])
        #expect(town.balance(3) == 100_000 * sesh - full)
        #expect(town.state.locks.map(\.amount) == [full])
        town.next(after: 30 * day - 1)
        #expect(town.balance(3) == 100_000 * sesh - full)
        town.next(after: 1)
        #expect(town.balance(3) == 100_000 * sesh)
        #expect(town.state.locks.isEmpty)
    }

    @Test("s02: while the ledger stands still a node that is out uses up ten minutes, and may be voted back afterwards")
    func s02AHaltCostsNoStake() {
        var town = town(12)
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        town.run(town.maintenance(4, 3_600))
        let deregistersAt = town.node(3)!.deregistersAt
        town.pass(3_000)
        #expect(town.node(3)?.deregistersAt == deregistersAt)
        // No blocks for ten hours.
        town.next(after: 36_000)
        #expect(town.node(3)?.deregistersAt == deregistersAt + 36_000 - 600)
        // A maintenance ends at its time all the same.
        #expect(town.node(4)?.standing == .active)
        // Blocks follow again. A node that nobody votes back goes when its time is over.
        var dead = town
        let left = dead.node(3)!.deregistersAt - dead.state.time
        dead.pass(left - 1)
        #expect(dead.node(3)?.standing == .decommissioned)
        dead.pass(1)
        #expect(dead.node(3) == nil && dead.state.locks.map(\.amount) == [full])
        // The judges of the last height before may still vote, and so may those of the first one after.
        for height in [town.state.height - 1, town.state.height] {
            var back = town
            back.run(0, back.verdict(.recommission, 3, height: height, places: 0..<7))
            #expect(back.node(3)?.standing == .active)
        }
    }

    @Test("S1: what is left of a credit covers the next outages, and what they use of the grace is missing from it")
    func s1ShortOutagesUseUpTheirTimeAlone() throws {
        var town = town(12)
        func credit() -> UInt64? { town.node(3)?.credit(at: town.state.time, town.state.parameters) }
        var left: UInt64 = 7_204
        // Outages of 30 s, one after the other, which use up some of the first credit.
        for outage in 0..<20 {
            town.run(0, town.verdict(.decommission, 3, places: 0..<7))
            town.next(after: 30)
            left -= 30
            town.run(0, town.verdict(.recommission, 3, places: 0..<7))
            #expect(town.node(3)?.standing == .active, "outage \(outage)")
            #expect(credit() == left)
            town.next(after: 60)
            left += 2
        }
        // An outage that ends in the grace: the node is active without credit, and gets credit only after the used
        // grace has grown again.
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        town.pass(left + 1_000)
        town.run(0, town.verdict(.recommission, 3, places: 0..<7))
        #expect(town.node(3)?.standing == .active && credit() == 0)
        town.next(after: 30 * 1_000)
        #expect(credit() == 0)
        town.next(after: 30)
        #expect(credit() == 1)
        // A node with repeated outages gets no second grace.
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        town.pass(3_601)
        #expect(town.node(3) == nil)
        #expect(town.state.locks.map(\.until) == [town.state.time + 30 * day])
    }

    @Test(
        "S2: a verdict leaves as many nodes as a path needs, and two thirds of those with a full stake",
        arguments: [
            (3, 0), (4, 1), (5, 1), (6, 2), (9, 3), (12, 4), (20, 6),
        ])
    func s2VerdictsLeaveAFloor(_ count: Int, _ most: Int) {
        var town = town(count)
        for number in 0..<most {
            town.run(29, town.verdict(.decommission, number, places: places(town, number)))
            town.next(after: 1)
        }
        town.refuse(
            29, town.verdict(.decommission, count - 1, places: places(town, count - 1)),
            .tooFewActive(least: count - most))
        // A node that is back makes room for another one.
        guard most > 0 else { return }
        town.run(29, town.verdict(.recommission, 0, places: places(town, 0)))
        town.next(after: 1)
        town.run(29, town.verdict(.decommission, count - 1, places: places(town, count - 1)))
    }

    private func places(_ town: Town, _ number: Int) -> [UInt8] {
        let judges = town.state.judges(of: Town.nodeIDs[number], height: town.state.height).count
        return (0..<UInt8(town.state.parameters.votesNeeded(ofQuorum: judges))).map { $0 }
    }

    @Test func aDecommissionedNodeLeavesWhenItsTimeComesFirst() {
        var town = town(12)
        town.run(3, .leave(node: Town.nodeIDs[3]))
        town.next(after: 15 * day - 60)
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        town.next(after: 60)
        #expect(town.node(3) == nil)
        #expect(town.balance(3) == 100_000 * sesh && town.state.locks.isEmpty)
    }

    @Test func aQuorumIsOfActiveNodesAndChangesWithTheBlock() {
        var town = town(30)
        var seen: Set<[NodeID]> = []
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
        for _ in 0..<20 {
            town.next(after: 60)
            let nodes = town.state.quorums.last!.nodes
            #expect(nodes.count == 11 && Set(nodes).count == 11 && !nodes.contains(Town.nodeIDs[3]))
            seen.insert(nodes)
        }
        #expect(seen.count == 20)
    }
}

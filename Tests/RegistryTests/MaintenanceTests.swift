import OnionCrypto
import Registry
import Testing
import Wire

/// Nodes that take themselves out of service for a time, and come back by themselves.
@Suite struct MaintenanceTests {
    private func town(_ count: Int) -> Town {
        var town = Town()
        town.settle(0..<count)
        town.next(after: 120)
        return town
    }

    private func credit(_ town: Town, _ number: Int) -> UInt64? {
        town.node(number)?.credit(at: town.state.time, town.state.parameters)
    }

    @Test func aNodeIsNoHopMeanwhileAndComesBackByItself() {
        var town = town(12)
        town.run(town.maintenance(3, 3_600))
        #expect(town.node(3)?.isInMaintenance == true)
        #expect(town.state.snapshot()?.entry(of: Town.nodeIDs[3])?.isStaked == false)
        town.next(after: 60)
        #expect(!town.state.quorums.last!.nodes.contains(Town.nodeIDs[3]))
        let end = town.node(3)!.maintenanceEnd
        town.refuse(0, town.verdict(.recommission, 3, places: 0..<7), .inMaintenance(until: end))
        town.refuse(0, town.verdict(.decommission, 3, places: 0..<7), .notActive)
        town.next(after: 3_539)
        #expect(town.node(3)?.isInMaintenance == true)
        town.next(after: 1)
        #expect(town.node(3)?.standing == .active)
        // The maintenance has used up credit.
        #expect(credit(town, 3) == 7_204 - 3_600)
        // If it does not serve afterwards, it is judged like any other node.
        town.next(after: 1)
        town.run(0, town.verdict(.decommission, 3, places: 0..<7))
    }

    @Test func itEndsAtItsTimeHoweverLateTheBlock() {
        var town = town(12)
        town.run(town.maintenance(3, 7_200))
        town.next(after: 40 * day)
        #expect(town.node(3)?.standing == .active)
        #expect(credit(town, 3) == 4 + (40 * day - 7_200) / 30)
    }

    @Test func aNodeMayComeBackBefore() {
        var town = town(12)
        town.refuse(town.maintenance(3, 0), .notDecommissioned)
        town.run(town.maintenance(3, 3_600))
        town.refuse(town.maintenance(3, 0), .staleRequest)
        town.next(after: 600)
        town.run(town.maintenance(3, 0))
        #expect(town.node(3)?.standing == .active && credit(town, 3) == 7_204 - 600)
        let from = town.state.time + 3 * day
        town.next(after: 1)
        town.refuse(town.maintenance(3, 600), .maintenanceTooEarly(from: from))
        town.next(after: 3 * day - 1)
        town.run(town.maintenance(3, 600))
    }

    @Test func itsLengthIsBounded() {
        var town = town(12)
        town.refuse(town.maintenance(3, 7_205), .maintenanceTooLong(limit: 7_204))
        town.next(after: 40 * day)
        town.refuse(town.maintenance(3, 43_201), .maintenanceTooLong(limit: 43_200))
        town.refuse(town.maintenance(3, .max), .maintenanceTooLong(limit: 43_200))
        town.run(town.maintenance(3, 43_200))
    }

    @Test func enoughNodesStay() {
        var town = town(12)
        for number in 0..<4 { town.run(town.maintenance(number, 60)) }
        town.refuse(town.maintenance(4, 60), .tooFewActive(least: 8))
    }

    @Test func onlyTheNodeAsksAndARequestCountsOnce() {
        var town = town(12)
        let height = town.state.height
        guard case .maintain(_, let seconds, _, let proof) = town.maintenance(3, 60).action else {
            Issue.record("no request")
            return
        }
        func forged(_ node: Int, _ seconds: UInt32, _ height: UInt64) -> RegistryOperation {
            RegistryOperation(
                unsigned: .maintain(node: Town.nodeIDs[node], seconds: seconds, height: height, proof: proof),
                network: networkID)
        }
        town.refuse(forged(4, seconds, height), .wrongNodeSignature)
        town.refuse(forged(3, seconds + 1, height), .wrongNodeSignature)
        town.refuse(forged(3, seconds, height - 1), .wrongNodeSignature)
        town.refuse(town.maintenance(40, 60), .unknownNode)
        town.refuse(town.maintenance(3, 60, height: height + 1), .unknownQuorum)
        town.run(forged(3, seconds, height))
        town.next(after: 4 * day)
        town.refuse(forged(3, seconds, height), .staleRequest)
        for _ in 0..<60 { town.next(after: 1) }
        town.refuse(forged(3, seconds, height), .unknownQuorum)
    }

    @Test("S2: a request that was refused or given up is void four blocks later") func s2ARequestIsNotKeptForLater() {
        var town = town(12)
        let kept = town.maintenance(3, 600)
        for _ in 0..<4 { town.next(after: 120) }
        var early = town
        early.run(kept)
        #expect(early.node(3)?.isInMaintenance == true)
        town.next(after: 120)
        town.refuse(kept, .staleRequest)
        town.run(town.maintenance(3, 600))
    }

    @Test("S2: where nobody is left to judge, a decommissioned node comes back by itself")
    func s2WhereNobodyJudgesADecommissionedNodeComesBack() {
        var town = town(4)
        for number in 0..<3 { town.run(UInt64(number), .leave(node: Town.nodeIDs[number])) }
        town.next(after: 15 * day - 1_000)
        town.run(29, town.verdict(.decommission, 3, places: 0..<3))
        town.next(after: 100)
        // As long as others can judge it, they must.
        town.refuse(town.maintenance(3, 0), .judgedByOthers)
        town.next(after: 900)
        #expect(town.state.nodes.count == 1)
        town.run(town.maintenance(3, 0))
        #expect(town.node(3)?.standing == .active)
    }

    @Test func anOperationIsForBlocksUpToAHeight() {
        var town = town(4)
        let height = town.state.height
        func payment(until: UInt64) -> RegistryOperation {
            RegistryOperation(
                network: networkID, nonce: town.state.accounts[Town.ids[9]]!.nonce, until: until,
                action: .pay(amount: 1), key: key(9))
        }
        let (early, late) = (payment(until: height), payment(until: height + 1))
        town.next(after: 1)
        town.refuse(early, .expired(until: height))
        town.run(late)
        town.refuse(late, .replayed(expected: 1))
    }
}

import OnionCrypto
import Testing
import Wire

@testable import Registry

/// Transfers between accounts, and nodes' reports on each other.
@Suite struct TransferTests {
    private let stranger = Account(key(500).publicKey)

    @Test func aTransferMakesAnAccountAndBothKeepTheLeast() {
        var town = Town(balance: 10 * sesh)
        town.refuse(0, .transfer(to: stranger, amount: sesh - 1), .transferUnder(minimum: sesh))
        town.refuse(0, .transfer(to: stranger, amount: 0), .zeroAmount)
        town.refuse(0, .transfer(to: stranger, amount: 9 * sesh + 1), .overspent(available: 9 * sesh))
        town.refuse(0, .transfer(to: town.id(0), amount: sesh), .wrongReceiver)
        town.refuse(0, .transfer(to: RegistryOperation.nobody, amount: sesh), .wrongReceiver)
        town.run(0, .transfer(to: stranger, amount: sesh))
        town.run(0, .transfer(to: stranger, amount: 1))
        #expect(town.state.accounts[stranger] == .init(balance: sesh + 1))
        #expect(town.balance(0) == 9 * sesh - 1)
        // The new account can spend, but not below the minimum.
        let operation = RegistryOperation(
            network: networkID, nonce: 0, action: .transfer(to: town.id(1), amount: 2), key: key(500))
        town.refuse(operation, .overspent(available: 1))
    }

    @Test func thereAreAsManyAccountsAsThereMayBe() {
        var town = Town { $0.maximumAccounts = UInt32(Town.accounts) + 2 }
        town.run(0, .transfer(to: stranger, amount: sesh))
        town.refuse(0, .transfer(to: Account(key(501).publicKey), amount: sesh), .tooManyAccounts)
        town.run(0, .transfer(to: stranger, amount: sesh))
    }

    /// Twelve nodes of twelve operators, and one block after they became active.
    private func watched(_ change: (inout RegistryParameters) -> Void = { _ in }) -> Town {
        var town = Town(balance: 100_000 * sesh, change)
        town.settle(0..<12)
        town.next(after: 60)
        return town
    }

    private func judges(_ town: Town, of node: Int) -> [Int] {
        town.state.judges(of: Town.nodeIDs[node], height: town.state.height).map { id in
            Town.nodeIDs.firstIndex(of: id)!
        }
    }

    @Test func p2TheMedianOfOthersReportsIsTheWeight() {
        var town = watched()
        let others = judges(town, of: 3)
        for (place, other) in others.prefix(5).enumerated() {
            town.run(town.report(by: other, on: [(3, [900, 10, 40_000_000, 20, 30][place])]))
        }
        #expect(town.node(3)?.capacity == 30 && town.node(3)?.reports.count == 5)
        let snapshot = town.state.snapshot()
        #expect(snapshot?.entry(of: Town.nodeIDs[3])?.weight == 30)
        // A node without reports gets the lower quartile of the measured weights.
        #expect(snapshot?.entry(of: Town.nodeIDs[4])?.weight == 30)
    }

    @Test func p2AReportIsByAMemberOfTheQuorumAndOnce() {
        var town = watched()
        let others = judges(town, of: 3)
        let stranger = (0..<12).first { $0 != 3 && !others.contains($0) }!
        town.refuse(town.report(by: stranger, on: [(3, 5)]), .notReporter)
        town.refuse(town.report(by: 3, on: [(3, 5)]), .notReporter)
        town.refuse(town.report(by: others[0], on: [(3, 5)], height: 9_999), .unknownQuorum)
        town.refuse(town.report(by: others[0], on: [(20, 5)]), .unknownNode)
        town.run(town.report(by: others[0], on: [(3, 5)]))
        town.refuse(town.report(by: others[0], on: [(3, 6)]), .staleReport)
        let good = town.report(by: others[1], on: [(3, 5)])
        guard case .report(let reporter, let height, _, let proof) = good.action else {
            Issue.record("no report")
            return
        }
        let forged = Action.report(
            reporter: reporter, height: height, measured: [.init(node: Town.nodeIDs[3], capacity: 6)], proof: proof)
        town.refuse(RegistryOperation(unsigned: forged, network: networkID), .wrongReport)
        town.run(good)
    }

    @Test func p2AnOperatorCountsOnceAndNotForHisOwn() {
        var town = Town(balance: 200_000 * sesh)
        town.settle(0..<2)
        for node in 2..<6 { town.run(town.registration(0, node, stake: full)) }
        town.next(after: 60)
        town.refuse(town.report(by: 0, on: [(2, 9)]), .sameOperator)
        town.run(town.report(by: 2, on: [(1, 9)]))
        town.refuse(town.report(by: 3, on: [(1, 9_000)]), .staleReport)
        town.next(after: 60)
        town.run(town.report(by: 3, on: [(1, 11)]))
        #expect(town.node(1)?.reports.map(\.capacity) == [11])
    }

    @Test func onlyTheNewestReportsAreKept() {
        var town = watched { $0.reportsPerNode = 3 }
        var last: [Int: UInt64] = [:]
        for round in 0..<6 {
            let other = judges(town, of: 3)[round]
            town.run(town.report(by: other, on: [(3, UInt32(round))]))
            last[other] = town.state.height
            town.next(after: 60)
        }
        #expect(last.count > 3)
        #expect(town.node(3)!.reports.map(\.height).sorted() == Array(last.values.sorted().suffix(3)))
    }

    @Test func nobodyMayDoOnlyWhatStandsByItself() {
        var town = watched()
        town.refuse(
            RegistryOperation(unsigned: .distribute, network: networkID), .distributedTooEarly(next: start + day))
        town.next(after: day)
        town.run(RegistryOperation(unsigned: .distribute, network: networkID))
        let verdict = town.verdict(.decommission, 3, places: 0..<7)
        town.run(RegistryOperation(unsigned: verdict, network: networkID))
        town.refuse(RegistryOperation(unsigned: verdict, network: networkID), .staleVotes)
        let zeros = [UInt8](repeating: 0, count: 64)
        let nobody = RegistryOperation.nobody
        func operation(_ nonce: UInt64, _ action: Action, _ signature: [UInt8]) -> RegistryOperation {
            RegistryOperation(
                network: networkID, account: nobody, nonce: nonce, until: 0, action: action, signature: signature)
        }
        town.refuse(operation(0, .claim, zeros), .unknownAccount)
        town.refuse(operation(1, .distribute, zeros), .outOfTurn(expected: 0))
        town.refuse(operation(0, .distribute, [1] + zeros.dropFirst()), .wrongSigner)
    }
}

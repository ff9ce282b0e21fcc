import OnionCrypto
import Registry
import Testing
import Wire

/// The fees of operations, and which accounts can pay them.
@Suite struct OperationFeeTests {
    private let fee = sesh / 100
    private let n0 = Town.nodeIDs[0]

    private func town(balance: UInt64 = 100_000 * sesh) -> Town {
        Town(balance: balance) { $0.operationFee = sesh / 100 }
    }

    @Test("s15: an operation of an account costs its fee, which the pool gets")
    func operationsCost() {
        var town = town()
        let pool = town.state.pool
        town.run(0, .transfer(to: town.id(1), amount: 5))
        #expect(town.balance(0) == 100_000 * sesh - 5 - fee)
        #expect(town.state.pool == pool + fee)
        town.run(town.registration(2, 0, stake: full / 4))
        #expect(town.balance(2) == 100_000 * sesh - full / 4 - fee)
        town.run(2, .setFee(node: n0, fee: 3))
        town.run(3, .pay(amount: 10))
        #expect(town.state.pool == pool + 4 * fee + 9)
        // A refused operation costs nothing.
        town.refuse(2, .setFee(node: n0, fee: 10_001), .feeOutOfRange)
    }

    @Test func operationsOfNobodyAreFree() {
        var town = town()
        town.settle(0..<3)
        town.next(after: day)
        let pool = town.state.pool
        let paidOut = town.state.intervalReward / 3 * 3
        town.run(RegistryOperation(unsigned: .distribute, network: networkID))
        #expect(town.state.pool == pool - paidOut)
    }

    @Test func whoeverCannotPayIsRefusedByName() {
        var town = town(balance: fee)
        town.refuse(0, .pay(amount: 1), .overspent(available: 0))
        town.refuse(0, .claim, .nothingToClaim)
        town = self.town(balance: fee - 1)
        for action in [Action.pay(amount: 1), .transfer(to: town.id(1), amount: 1), .claim, .distribute] {
            town.refuse(0, action, .operationFeeUnpaid(fee: fee))
        }
        town.refuse(town.registration(0, 0, stake: full), .operationFeeUnpaid(fee: fee))
        town = self.town(balance: full + fee)
        town.refuse(0, .pay(amount: full + 1), .overspent(available: full))
        town.run(town.registration(0, 0, stake: full))
        #expect(town.balance(0) == 0)
    }

    @Test func aSenderKeepsTheLeastBesideTheFee() {
        var town = town(balance: 3 * sesh)
        town.refuse(0, .transfer(to: town.id(1), amount: 2 * sesh), .overspent(available: 2 * sesh - fee))
        town.run(0, .transfer(to: town.id(1), amount: 2 * sesh - fee))
        #expect(town.balance(0) == sesh)
    }

    @Test func whoeverHasStakedAllGetsItBack() {
        // An operator and a contributor without free balances.
        var town = town(balance: full / 2 + fee)
        town.run(town.registration(0, 0, stake: full / 2))
        town.run(1, .contribute(node: n0, amount: full / 4))
        town.run(1, .cancel(node: n0))
        #expect(town.balance(1) == full / 2 - fee)
        town.run(0, .cancel(node: n0))
        #expect(town.balance(0) == full / 2 - fee)

        town = self.town(balance: full / 2 + fee)
        town.run(town.registration(0, 0, stake: full / 2))
        town.run(1, .contribute(node: n0, amount: full / 2))
        #expect(town.balance(0) == 0 && town.balance(1) == 0)
        // Rewards pay for their own claim; a leave, which happens once for each node, is free.
        town.next(after: day)
        town.run(RegistryOperation(unsigned: .distribute, network: networkID))
        let reward = town.state.accounts[town.id(1)]!.rewards
        town.run(1, .claim)
        #expect(town.balance(1) == reward - fee)
        town.refuse(0, .setFee(node: n0, fee: 0), .operationFeeUnpaid(fee: fee))
        town.run(0, .leave(node: n0))
        #expect(town.balance(0) == 0)
    }

    @Test func rewardsBelowTheFeeWait() {
        // The fee is more than the reward of a day, which is below 16,000 SESH for a single node.
        let fee = 20_000 * sesh
        var town = Town(balance: full + fee) { $0.operationFee = fee }
        town.settle(0..<1)
        #expect(town.balance(0) == 0)
        town.next(after: day)
        town.run(RegistryOperation(unsigned: .distribute, network: networkID))
        town.refuse(0, .claim, .operationFeeUnpaid(fee: fee))
        town.next(after: day)
        town.run(RegistryOperation(unsigned: .distribute, network: networkID))
        let reward = town.state.accounts[town.id(0)]!.rewards
        town.run(0, .claim)
        #expect(town.balance(0) == reward - fee)
    }
}

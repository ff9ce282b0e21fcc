import OnionCrypto
import Registry
import Testing
import Wire

/// Registering, contributing, cancelling, fees and leaving: every rule at its limit.
@Suite struct StakeTests {
    let n0 = Town.nodeIDs[0]
    let n1 = Town.nodeIDs[1]

    @Test func anOperatorBringsAQuarterToTheWhole() {
        var town = Town()
        town.refuse(town.registration(0, 0, stake: full / 4 - 1), .stakeUnder(minimum: full / 4))
        town.refuse(town.registration(0, 0, stake: full + 1), .stakeOver(maximum: full))
        town.run(town.registration(0, 0, stake: full / 4))
        #expect(town.node(0)?.standing == .open)
        #expect(town.balance(0) == 100_000 * sesh - full / 4)
        town.run(town.registration(0, 1, stake: full))
        #expect(town.node(1)?.standing == .active)
        #expect(town.node(1)?.activeSince == start)
    }

    @Test func nobodySpendsMoreThanHeHas() {
        var town = Town(balance: full + 5)
        town.run(town.registration(0, 0, stake: full))
        town.refuse(town.registration(0, 1, stake: full / 4), .overspent(available: 5))
        town.run(0, .pay(amount: 5))
        town.refuse(0, .pay(amount: 1), .overspent(available: 0))
        town.refuse(0, .pay(amount: 0), .zeroAmount)
        town.run(town.registration(1, 1, stake: full / 2))
        town.refuse(0, .contribute(node: n1, amount: full / 2), .overspent(available: 0))
        town.refuse(0, .contribute(node: n1, amount: 0), .zeroAmount)
    }

    @Test func aNodeIsRegisteredOnceAndAgreesToIt() {
        var town = Town()
        town.run(town.registration(0, 0, stake: full / 2))
        town.refuse(town.registration(1, 0, stake: full), .alreadyRegistered)
        let forged = RegistryOperation(
            registering: key(140), fee: 0, stake: full, network: networkID, nonce: 0, key: key(1))
        guard case .register(_, _, _, let proof) = forged.action else { Issue.record("no registration"); return }
        town.refuse(1, .register(node: n1, fee: 0, stake: full, proof: proof), .wrongNodeSignature)
        town.refuse(1, .register(node: n1, fee: 0, stake: full, proof: []), .wrongNodeSignature)
        // The node's signature for one operator is not valid for another.
        guard case .register(_, _, _, let other) = town.registration(2, 1, stake: full).action else {
            Issue.record("no registration")
            return
        }
        town.refuse(1, .register(node: n1, fee: 0, stake: full, proof: other), .wrongNodeSignature)
    }

    @Test func feesLieBetweenNothingAndAll() {
        var town = Town()
        town.refuse(town.registration(0, 0, fee: 10_001, stake: full / 4), .feeOutOfRange)
        town.run(town.registration(0, 0, fee: 10_000, stake: full / 4))
        town.refuse(1, .setFee(node: n0, fee: 1), .notOperator)
        town.refuse(0, .setFee(node: n1, fee: 1), .unknownNode)
        town.refuse(0, .setFee(node: n0, fee: 10_001), .feeOutOfRange)
        town.run(0, .setFee(node: n0, fee: 0))
        town.run(0, .setFee(node: n0, fee: 500))
        town.run(1, .contribute(node: n0, amount: full / 4))
        town.refuse(0, .setFee(node: n0, fee: 501), .feeRaised)
        town.run(0, .setFee(node: n0, fee: 499))
        #expect(town.node(0)?.fee == 499)
    }

    @Test func tenContributeAndNoEleventh() {
        var town = Town { $0.minimumContribution = 100 * sesh }
        town.run(town.registration(0, 0, stake: full / 4))
        for account: UInt64 in 1...10 {
            town.refuse(account, .contribute(node: n0, amount: 100 * sesh - 1), .stakeUnder(minimum: 100 * sesh))
            town.run(account, .contribute(node: n0, amount: 100 * sesh))
        }
        town.refuse(11, .contribute(node: n0, amount: 100 * sesh), .tooManyContributors)
        town.run(10, .contribute(node: n0, amount: 1))
        town.run(0, .contribute(node: n0, amount: 1))
        let missing = full - full / 4 - 1000 * sesh - 2
        town.refuse(10, .contribute(node: n0, amount: missing + 1), .stakeOver(maximum: missing))
        town.run(10, .contribute(node: n0, amount: missing))
        #expect(town.node(0)?.standing == .active)
        #expect(town.node(0)?.contributions.count == 11)
        town.refuse(10, .contribute(node: n0, amount: 1), .notOpen)
        town.refuse(11, .contribute(node: n1, amount: 1), .unknownNode)
    }

    @Test func aContributorBringsWhatIsMissingByThePlacesLeft() {
        var town = Town()
        town.run(town.registration(0, 0, stake: full / 4 + 1))
        var missing = full - full / 4 - 1
        for account: UInt64 in 1...10 {
            let places = 11 - account
            let minimum = (missing + places - 1) / places
            town.refuse(account, .contribute(node: n0, amount: minimum - 1), .stakeUnder(minimum: minimum))
            town.run(account, .contribute(node: n0, amount: minimum))
            missing -= minimum
        }
        #expect(missing == 0)
        #expect(town.node(0)?.standing == .active)
    }

    @Test("A contribution names the highest fee that it accepts, so that the operator cannot raise it just before")
    func contributionsNameTheFee() {
        var town = Town()
        town.run(town.registration(0, 0, fee: 500, stake: full / 4))
        town.run(0, .setFee(node: n0, fee: 10_000))
        town.refuse(1, .contribute(node: n0, amount: full / 4, fee: 500), .feeAbove(fee: 10_000))
        town.refuse(1, .contribute(node: n0, amount: full / 4, fee: 10_001), .feeOutOfRange)
        town.run(0, .setFee(node: n0, fee: 500))
        town.run(1, .contribute(node: n0, amount: full / 4, fee: 500))
        town.refuse(0, .setFee(node: n0, fee: 501), .feeRaised)
        // One who has a part names it again.
        town.refuse(1, .contribute(node: n0, amount: 1, fee: 499), .feeAbove(fee: 500))
        town.run(2, .contribute(node: n0, amount: full / 2, fee: 10_000))
        #expect(town.node(0)?.standing == .active && town.node(0)?.fee == 500)
    }

    @Test func cancellingGivesBackAll() {
        var town = Town()
        town.run(town.registration(0, 0, stake: full / 4))
        town.run(1, .contribute(node: n0, amount: full / 4))
        town.run(2, .contribute(node: n0, amount: full / 4))
        town.refuse(3, .cancel(node: n0), .notContributor)
        town.refuse(3, .cancel(node: n1), .unknownNode)
        town.run(1, .cancel(node: n0))
        #expect(town.balance(1) == 100_000 * sesh)
        #expect(town.node(0)?.contributions.count == 2)
        town.run(0, .cancel(node: n0))
        #expect(town.balance(0) == 100_000 * sesh && town.balance(2) == 100_000 * sesh)
        #expect(town.node(0) == nil)
        town.run(town.registration(0, 0, stake: full))
        town.refuse(0, .cancel(node: n0), .notOpen)
    }

    @Test func leavingTakesFifteenDays() {
        var town = Town()
        town.run(town.registration(0, 0, stake: full / 4))
        town.refuse(0, .leave(node: n0), .notFull)
        town.run(1, .contribute(node: n0, amount: full * 3 / 4))
        town.refuse(2, .leave(node: n0), .notContributor)
        town.run(1, .leave(node: n0))
        town.refuse(1, .leave(node: n0), .leaveAskedTwice)
        town.refuse(0, .leave(node: n0), .leaveAskedTwice)
        town.next(after: 15 * day - 1)
        #expect(town.node(0)?.standing == .active)
        town.next(after: 1)
        #expect(town.node(0) == nil)
        #expect(town.balance(0) == 100_000 * sesh && town.balance(1) == 100_000 * sesh)
        town.refuse(0, .leave(node: n0), .unknownNode)
    }

    @Test func smallContributorsWaitThirtyDays() {
        var town = Town()
        town.run(town.registration(0, 0, stake: full / 2))
        town.run(1, .contribute(node: n0, amount: full / 4))
        town.run(2, .contribute(node: n0, amount: full / 4 - 1))
        town.run(3, .contribute(node: n0, amount: 1))
        town.refuse(2, .leave(node: n0), .leaveTooEarly(from: start + 30 * day))
        town.next(after: 30 * day - 1)
        town.refuse(2, .leave(node: n0), .leaveTooEarly(from: start + 30 * day))
        var other = town
        other.run(1, .leave(node: n0))
        town.next(after: 1)
        town.run(2, .leave(node: n0))
    }

    @Test func operationsAreTakenOnceAndInTurn() {
        var town = Town()
        let first = town.operation(0, .pay(amount: 10))
        town.run(first)
        town.refuse(first, .replayed(expected: 1))
        let late = RegistryOperation(network: networkID, nonce: 2, action: .pay(amount: 1), key: key(0))
        town.refuse(late, .outOfTurn(expected: 1))
        let foreign = RegistryOperation(network: bytes32(8, 8), nonce: 1, action: .pay(amount: 1), key: key(0))
        town.refuse(foreign, .otherNetwork)
        town.refuse(
            RegistryOperation(network: networkID, nonce: 0, action: .claim, key: key(77)), .unknownAccount)
        let good = town.operation(0, .pay(amount: 1))
        let stolen = RegistryOperation(
            network: networkID, account: town.id(1), nonce: 0, until: .max, action: good.action,
            signature: good.signature)
        town.refuse(stolen, .wrongSigner)
        let altered = RegistryOperation(
            network: networkID, account: town.id(0), nonce: 1, until: .max, action: .pay(amount: 2),
            signature: good.signature)
        town.refuse(altered, .wrongSigner)
    }

    @Test func blocksAndNodesAreBounded() {
        var town = Town {
            $0.operationsPerBlock = 3
            $0.maximumNodes = 1
        }
        town.run(town.registration(0, 0, stake: full / 4))
        town.refuse(town.registration(1, 1, stake: full), .tooManyNodes)
        town.run(0, .pay(amount: 1))
        town.run(0, .pay(amount: 1))
        town.refuse(0, .pay(amount: 1), .blockFull)
        town.next(after: 0)
        town.run(0, .pay(amount: 1))
    }

    @Test func heightsAndTimesGoForward() {
        var town = Town()
        let digest = town.state.digest
        #expect(throws: Refusal.heightNotAbove(1)) {
            try town.state.begin(height: 1, time: start, block: networkID, seed: networkID)
        }
        #expect(throws: Refusal.timeWentBack) {
            try town.state.begin(height: 2, time: start - 1, block: networkID, seed: networkID)
        }
        #expect(throws: Refusal.timeOutOfRange) {
            try town.state.begin(height: 2, time: RegistryState.timeLimit + 1, block: networkID, seed: networkID)
        }
        #expect(town.state.digest == digest)
        #expect(throws: Never.self) {
            try town.state.begin(height: .max, time: RegistryState.timeLimit, block: networkID, seed: networkID)
        }
    }

    @Test func aBeginningAddsUp() {
        let parameters = RegistryParameters(treasury: Town.treasury)
        func make(_ pool: UInt64, _ parameters: RegistryParameters, time: UInt64 = start) -> RegistryState? {
            RegistryState(
                network: networkID, parameters: parameters, time: time, pool: pool, balances: [Town.ids[0]: 1])
        }
        #expect(make(.max, parameters) == nil)
        #expect(make(.max - 1, parameters)?.isBalanced == true)
        #expect(make(1, parameters, time: RegistryState.timeLimit + 1) == nil)
        var wrong = parameters
        wrong.quorumVotes = 11
        #expect(make(1, wrong) == nil)
        // If no node had to stay active, a decommissioned node could never come back without judges.
        wrong = parameters
        wrong.leastActive = 0
        #expect(!wrong.areValid && make(1, wrong) == nil)
    }
}

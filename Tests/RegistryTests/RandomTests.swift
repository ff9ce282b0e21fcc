import OnionCrypto
import Registry
import SeededRandom
import Testing
import Wire

/// A long run of random operations: every unit stays accounted for, and a refusal changes nothing.
@Suite struct RandomTests {
    @Test func thirtyThousandOperationsKeepEveryUnit() throws {
        var random = SeededGenerator(seed: 20_260_721)
        var town = Town {
            $0.maximumNodes = 40
            $0.operationFee = sesh / 100
        }
        var kinds: [UInt8: Int] = [:]
        var refusals: Set<String> = []
        var greatest = 0
        for step in 0..<30_000 {
            if step % 20 == 0 {
                let seconds: UInt64 = [0, 60, 600, 3_600, 20_000, 86_400].randomElement(using: &random)!
                let height = town.state.height + UInt64.random(in: 1...3, using: &random)
                let time = town.state.time + seconds
                try town.state.begin(height: height, time: time, block: bytes32(5, height), seed: bytes32(5, height))
                #expect(town.state.isBalanced)
            }
            let before = town.state
            let operation = draw(town.state, using: &random)
            do {
                try town.state.applyVerified(operation)
                kinds[operation.encoded()[1], default: 0] += 1
            } catch {
                refusals.insert(String("\(error)".prefix { $0 != "(" }))
                if town.state != before { Issue.record("a refusal changed the state: \(error)") }
            }
            if !town.state.isBalanced { Issue.record("units are lost at \(step): \(operation.action)") }
            greatest = max(greatest, town.state.nodes.count)
            if step % 5_000 == 0 {
                let bytes = town.state.encoded()
                let read = try RegistryState(decoding: bytes.rawSpan)
                #expect(read == town.state)
            }
        }
        #expect(kinds.count == 12 && kinds.values.allSatisfy { $0 > 30 }, "\(kinds)")
        #expect(refusals.count >= 18, "\(refusals)")
        #expect(greatest > 20)
    }

    private static let signature = [UInt8](repeating: 0, count: 64)

    private func draw(_ state: RegistryState, using random: inout SeededGenerator) -> RegistryOperation {
        var account = Town.ids.randomElement(using: &random)!
        if Int.random(in: 0..<50, using: &random) == 0 { account = Town.treasury }
        let action = action(state, by: &account, using: &random)
        var nonce = state.accounts[account]?.nonce ?? 0
        if Int.random(in: 0..<100, using: &random) == 0 { nonce &-= UInt64.random(in: 0...2, using: &random) &- 1 }
        return RegistryOperation(
            network: networkID, account: account, nonce: nonce, until: .max, action: action,
            signature: Self.signature)
    }

    private func action(_ state: RegistryState, by account: inout Account, using random: inout SeededGenerator)
        -> Action
    {
        let id = Town.nodeIDs.randomElement(using: &random)!
        let node = state.nodes[id]
        let isOfNode = Bool.random(using: &random)
        switch Int.random(in: 0..<26, using: &random) {
        case 0..<4:
            let stake = [full, full / 2, full / 4, full / 4 - 1, full / 3 + 7].randomElement(using: &random)!
            let fee = UInt16.random(in: 0...10_010, using: &random)
            return .register(node: id, fee: fee, stake: stake, proof: Self.signature)
        case 4..<10:
            let missing = full - min(full, node?.stake ?? 0)
            let places = max(1, 11 - UInt64(node?.contributions.count ?? 1))
            let amount = [missing, missing / 2, missing / places + 1, missing + 1, 1, 0].randomElement(using: &random)!
            return .contribute(node: id, amount: amount, fee: UInt16.random(in: 5_000...10_010, using: &random))
        case 10:
            if isOfNode, let part = node?.contributions.randomElement(using: &random) { account = part.account }
            return .cancel(node: id)
        case 11:
            if isOfNode, let node { account = node.operatorAccount }
            return .setFee(node: id, fee: UInt16.random(in: 0...10_010, using: &random))
        case 12:
            if isOfNode, let part = node?.contributions.randomElement(using: &random) { account = part.account }
            return .leave(node: id)
        case 13..<16:
            let verdicts = RegistryOperation.Judgment.allCases + [.decommission, .recommission, .recommission]
            let size = state.judges(of: id, height: state.height).count
            let count = UInt8(max(0, min(size, Int.random(in: 4...11, using: &random))))
            let votes = (0..<count).map { RegistryOperation.Vote(place: $0, signature: Self.signature) }
            let height = state.height - UInt64.random(in: 0...1, using: &random) * 2
            return .judge(verdicts.randomElement(using: &random)!, node: id, height: height, votes: votes)
        case 16: return .distribute
        case 17, 18: return .claim
        case 19, 20:
            let receiver =
                Bool.random(using: &random)
                ? Town.ids.randomElement(using: &random)! : Account(bytes32(77, random.next() % 40))
            return .transfer(to: receiver, amount: UInt64.random(in: 0...3 * sesh, using: &random))
        case 21, 22:
            return report(state, on: id, by: &account, using: &random)
        case 23, 24:
            return .maintain(
                node: id, seconds: UInt32([0, 0, 600, 3_600, 50_000].randomElement(using: &random)!),
                height: state.height, proof: Self.signature)
        default: return .pay(amount: UInt64.random(in: 0...20 * sesh, using: &random))
        }
    }

    /// A report, mostly by a node of the quorum, in half of the cases without an account.
    private func report(
        _ state: RegistryState, on id: NodeID, by account: inout Account, using random: inout SeededGenerator
    ) -> Action {
        if Bool.random(using: &random) { account = RegistryOperation.nobody }
        let judges = state.judges(of: id, height: state.height)
        let isMember = Int.random(in: 0..<8, using: &random) > 0
        let reporter = isMember ? judges.randomElement(using: &random) : Town.nodeIDs.randomElement(using: &random)
        return .report(
            reporter: reporter ?? id, height: state.height,
            measured: [.init(node: id, capacity: UInt32.random(in: 0...9, using: &random))], proof: Self.signature)
    }
}

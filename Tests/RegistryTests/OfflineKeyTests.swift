import OnionCrypto
import Registry
import Testing
import Wire

/// The node's key is on the serving machine, the account's key is not: what a thief of the node's key cannot do.
@Suite struct OfflineKeyTests {
    /// Node 0 of account 0, with a contributor; a thief has the node's key.
    private func town() -> Town {
        var town = Town()
        town.run(town.registration(0, 0, fee: 500, stake: full / 2))
        town.run(1, .contribute(node: Town.nodeIDs[0], amount: full / 2))
        return town
    }

    /// An operation that names `account` and is signed by node 0's key.
    private func stolen(_ town: Town, as account: UInt64, _ action: Action) throws -> RegistryOperation {
        let nonce = town.state.accounts[town.id(account)]!.nonce
        let thiefs = RegistryOperation(network: networkID, nonce: nonce, action: action, key: key(100))
        var bytes = thiefs.encoded()
        bytes.replaceSubrange(34..<66, with: town.id(account).key.array)
        return try RegistryOperation(decoding: bytes.rawSpan)
    }

    @Test func k1AStolenNodeKeyMovesNothingOfTheStake() throws {
        var town = town()
        let node = Town.nodeIDs[0]
        town.next(after: day)
        let actions: [Action] = [
            .leave(node: node), .setFee(node: node, fee: 100), .claim, .pay(amount: 1), .cancel(node: node),
            .transfer(to: town.id(2), amount: sesh),
        ]
        for action in actions {
            town.refuse(try stolen(town, as: 0, action), .wrongSigner)
            town.refuse(try stolen(town, as: 1, action), .wrongSigner)
            // As an account of its own, the node's key has no balance.
            town.refuse(
                RegistryOperation(network: networkID, nonce: 0, action: action, key: key(100)), .unknownAccount)
        }
        // Another operator cannot register it either: it is registered once.
        town.refuse(town.registration(5, 0, stake: full), .alreadyRegistered)
        #expect(town.node(0)?.operatorAccount == town.id(0))
    }

    @Test func k1TheOperatorEndsAStolenKeyFromElsewhere() {
        var town = town()
        let balance = (town.balance(0), town.balance(1))
        // The account's key, which was never on the node, ends it; until then the thief can serve in its name.
        town.run(0, .leave(node: Town.nodeIDs[0]))
        town.next(after: 15 * day - 1)
        #expect(town.state.snapshot()?.isStaked(Town.nodeIDs[0]) == true)
        town.next(after: 1)
        #expect(town.node(0) == nil && town.state.snapshot()?.isStaked(Town.nodeIDs[0]) != true)
        #expect((town.balance(0), town.balance(1)) == (balance.0 + full / 2, balance.1 + full / 2))
        // The same stake can back another key at once.
        town.run(town.registration(0, 1, stake: full / 2))
        town.run(1, .contribute(node: Town.nodeIDs[1], amount: full / 2))
        town.next(after: 1)
        #expect(town.state.snapshot()?.isStaked(Town.nodeIDs[1]) == true)
    }
}

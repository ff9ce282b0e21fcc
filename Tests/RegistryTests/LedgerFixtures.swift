import OnionCrypto
import Registry
import Testing
import Wire

/// A ledger with authorities 0 to n − 1, whose keys are 2000 and up, at nodes of the keys 3000 and up.
struct Realm {
    let rules: LedgerRules

    init(authorities: UInt64 = 4, threshold: Int = 3, blockSeconds: UInt64 = 2, slotSeconds: UInt64 = 1) {
        rules = LedgerRules(
            authorities: (0..<authorities).map {
                .init(key: key(2000 + $0).publicKey, node: NodeID(key(3000 + $0).publicKey))
            }, threshold: threshold, blockSeconds: blockSeconds, slotSeconds: slotSeconds, genesis: Self.genesis())!
    }

    /// The town's accounts, and small numbers for its rules.
    static func genesis() -> RegistryState {
        var parameters = RegistryParameters(treasury: Town.treasury)
        parameters.rewardInterval = 60
        return RegistryState(
            network: networkID, parameters: parameters, time: start, pool: 40_000_000 * sesh,
            balances: Dictionary(uniqueKeysWithValues: Town.ids.map { ($0, 100_000 * sesh) }))!
    }

    /// `block` with the signatures of these authorities.
    func sealed(_ block: Block, by authorities: [UInt64] = [0, 1, 2]) -> FinalBlock {
        let message = rules.seal(height: block.height, hash: block.hash)
        return FinalBlock(
            block,
            signatures: authorities.map {
                AuthoritySignature(authority: UInt8($0), bytes: key(2000 + $0).sign(message.rawSpan))
            })
    }

    func operation(_ account: UInt64, _ nonce: UInt64, _ action: Action) -> RegistryOperation {
        RegistryOperation(network: networkID, nonce: nonce, action: action, key: key(account))
    }
}

import OnionCrypto
import Testing
import Wire

@testable import Registry

/// A ledger with authorities 0 to n − 1, whose keys are 2000 and up; their nodes' keys are 3000 and up.
struct Realm {
    let rules: LedgerRules

    init(
        authorities: UInt64 = 4, threshold: Int = 3, blockSeconds: UInt64 = 2, slotSeconds: UInt64 = 1,
        extraBalances: [(Account, UInt64)] = []
    ) {
        rules = LedgerRules(
            authorities: (0..<authorities).map {
                .init(key: key(2000 + $0).publicKey, node: NodeID(key(3000 + $0).publicKey))
            }, threshold: threshold, blockSeconds: blockSeconds, slotSeconds: slotSeconds,
            genesis: Self.genesis(extraBalances))!
    }

    /// The genesis with the town's accounts, and a short reward interval.
    static func genesis(_ extraBalances: [(Account, UInt64)] = []) -> RegistryState {
        var parameters = RegistryParameters(treasury: Town.treasury)
        parameters.rewardInterval = 60
        return RegistryState(
            network: networkID, parameters: parameters, time: start, pool: 40_000_000 * sesh,
            balances: Dictionary(uniqueKeysWithValues: Town.ids.map { ($0, 100_000 * sesh) } + extraBalances))!
    }

    /// `block` as final, with the signatures of these authorities.
    func sealed(_ block: Block, by authorities: [UInt64] = [0, 1, 2], slot: UInt64 = 5) -> FinalBlock {
        let message = rules.seal(height: block.height, slot: slot, hash: block.hash)
        return FinalBlock(block, slot: slot, signatures: signatures(of: authorities, over: message))
    }

    /// The certificate that these authorities accepted `block`.
    func certificate(_ block: Block, by authorities: [UInt64], slot: UInt64) -> Certificate {
        let message = rules.acceptance(height: block.height, slot: slot, hash: block.hash)
        return Certificate(slot: slot, acceptances: signatures(of: authorities, over: message))
    }

    func signatures(of authorities: [UInt64], over message: [UInt8]) -> [AuthoritySignature] {
        authorities.map { AuthoritySignature(authority: UInt8($0), bytes: key(2000 + $0).sign(message.rawSpan)) }
    }

    /// The first slot from `slot` on that the authority at `index` leads.
    func slot(of index: Int, from slot: UInt64, _ chain: LedgerChain) -> UInt64 {
        (slot...).first { rules.leader(of: $0, after: chain.state.seed) == index }!
    }

    func operation(_ account: UInt64, _ nonce: UInt64, _ action: Action) -> RegistryOperation {
        RegistryOperation(network: networkID, nonce: nonce, action: action, key: key(account))
    }
}

extension LedgerChain {
    /// The next block by the authority at `maker`, with the random bytes `drawn`.
    mutating func draft(
        _ operations: [RegistryOperation], time: UInt64, by maker: UInt64 = 0, drawn: UInt64 = 0
    ) -> Block {
        draft(
            operations, time: time, maker: UInt8(maker), proof: key(2000 + maker).prove(proofInput.rawSpan),
            random: bytes32(78, drawn))
    }
}

import Directory
import OnionCrypto
import Registry
import Wire

/// The ledger of a simulated network.
///
/// The first nodes are the authorities, and the first block registers all nodes.
struct SimulatedLedger {
    /// A key that can be copied.
    final class Holder {
        let key = SigningKey()
        var account: Account { Account(key.publicKey) }
        func copy() -> SigningKey { Self.copy(key) }
        private static func copy(_ key: borrowing SigningKey) -> SigningKey {
            SigningKey(seed: Secret(copying: key.seedBytes))
        }
    }

    let authorities: [Holder]
    let operators: [Holder]
    private static let coin: UInt64 = 1_000_000_000

    /// Adds a ledger to `creation`, with a block every `block` seconds and a snapshot every `epoch` seconds.
    init(_ creation: inout NetworkCreation, authorities count: Int, block: UInt64, epoch: UInt64) throws {
        authorities = (0..<count).map { _ in Holder() }
        operators = creation.nodes.map { _ in Holder() }
        let bank = Holder()
        let network = creation.file.id
        let time = creation.file.snapshot.snapshot.time.seconds
        var parameters = RegistryParameters(treasury: bank.account)
        parameters.creditGrace = max(parameters.creditGrace, UInt32(clamping: epoch))
        var balances = [bank.account: 50_000_000 * Self.coin]
        for holder in operators { balances[holder.account] = parameters.fullStake + 1_000 * Self.coin }
        let genesis = RegistryState(
            network: network, parameters: parameters, time: time, pool: 40_000_000 * Self.coin, balances: balances)
        guard let genesis,
            let rules = LedgerRules(
                authorities: zip(authorities, creation.nodes).map { .init(key: $0.key.publicKey, node: $1.id) },
                threshold: count / 2 + 1, blockSeconds: block, slotSeconds: min(10, block), genesis: genesis)
        else { throw LedgerRefusal.wrongState }
        var chain = LedgerChain(rules)
        let registrations = zip(operators, creation.nodes).map { holder, node in
            RegistryOperation(
                registering: node.key, fee: 1_000, stake: parameters.fullStake, network: network, nonce: 0,
                key: holder.key)
        }
        let proof = authorities[0].key.prove(chain.proofInput.rawSpan)
        let first = chain.draft(
            registrations, time: time, maker: 0, proof: proof, random: Bytes32(copying: SecureRandom.bytes(32).rawSpan))
        let message = rules.seal(height: first.height, slot: 0, hash: first.hash)
        let final = FinalBlock(
            first, slot: 0,
            signatures: authorities.enumerated().map {
                AuthoritySignature(authority: UInt8($0), bytes: $1.key.sign(message.rawSpan))
            })
        try chain.append(final, now: time)
        guard let snapshot = chain.state.snapshot() else { throw LedgerRefusal.wrongState }
        creation.begin(with: snapshot)
        creation.file.epochSeconds = epoch
        creation.file.snapshotMaximumAge = SnapshotChain.trustLifetime
        creation.file.authorities = rules.authorities.map { .init(key: $0.key, node: $0.node) }
        creation.file.authorityThreshold = rules.threshold
        var ledger = NetworkFile.Ledger(genesis: genesis.encoded(), blocks: [final.encoded()])
        ledger.blockSeconds = block
        ledger.slotSeconds = min(10, block)
        creation.file.ledger = ledger
    }
}

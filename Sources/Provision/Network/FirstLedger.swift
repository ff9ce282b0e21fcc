internal import Directory
internal import OnionCrypto
internal import Process
internal import Registry
internal import Wire

/// The beginning of a network's ledger: its authorities, its first accounts, and the block that registers the first
/// nodes.
///
/// Each first node is registered by an operation of its own operator, like later ones.
struct FirstLedger {
    /// A key with several owners, wiped when the last one releases it.
    final class Holder {
        let key: SigningKey
        init() { key = SigningKey() }
        var account: Account { Account(key.publicKey) }
    }

    /// The name of an authority's key in its node's folder.
    static let keyName = "authority.key"
    private static let sesh: UInt64 = 1_000_000_000
    private static let operatorMoney = 1_000 * sesh
    private static let bankMoney = 50_000_000 * sesh
    private static let pool = 40_000_000 * sesh
    /// The operator's fee of the first nodes, in 1/10,000.
    private static let fee: UInt16 = 1_000

    /// The authorities' keys; they run at the first nodes.
    let authorities: [Holder]
    /// The key of each node's operator.
    let operators: [Holder]
    /// The key of the account that holds the rest and is the treasury.
    let bank = Holder()

    /// Makes the ledger and the first snapshot of the network in `creation`.
    init(_ creation: inout NetworkCreation, _ plan: RegistryPlan) throws(Failure) {
        let count = creation.nodes.count
        let wanted = plan.authorities ?? (count >= 3 ? 3 : 1)
        guard 1...min(32, count) ~= wanted else {
            throw Failure(.usage, "--authorities \(wanted): use 1 to \(min(32, count)), each at a node of its own")
        }
        authorities = (0..<wanted).map { _ in Holder() }
        operators = (0..<count).map { _ in Holder() }
        let network = creation.file.id
        let time = creation.file.snapshot.snapshot.time.seconds
        let parameters = plan.parameters(treasury: bank.account)
        var balances = [bank.account: Self.bankMoney]
        for holder in operators { balances[holder.account] = parameters.fullStake + Self.operatorMoney }
        let threshold = wanted / 2 + 1
        guard
            let genesis = RegistryState(
                network: network, parameters: parameters, time: time, pool: Self.pool, balances: balances),
            let rules = LedgerRules(
                authorities: zip(authorities, creation.nodes).map { .init(key: $0.key.publicKey, node: $1.id) },
                threshold: threshold, blockSeconds: plan.block, slotSeconds: plan.slot, genesis: genesis)
        else { throw Failure(.usage, "no ledger can be made of these values") }
        var chain = LedgerChain(rules)
        let registrations = zip(operators, creation.nodes).map { holder, node in
            RegistryOperation(
                registering: node.key, fee: Self.fee, stake: parameters.fullStake, network: network, nonce: 0,
                key: holder.key)
        }
        let proof = authorities[0].key.prove(chain.proofInput.rawSpan)
        let block = chain.draft(
            registrations, time: time, maker: 0, proof: proof, random: Bytes32(copying: SecureRandom.bytes(32).rawSpan))
        let message = rules.seal(height: block.height, slot: 0, hash: block.hash)
        let final = FinalBlock(
            block, slot: 0,
            signatures: authorities.enumerated().map {
                AuthoritySignature(authority: UInt8($0), bytes: $1.key.sign(message.rawSpan))
            })
        do throws(LedgerRefusal) {
            try chain.append(final, now: time)
        } catch {
            throw Failure(.software, "the first block is refused: \(error)")
        }
        guard let snapshot = chain.state.snapshot(), snapshot.stakedCount == count else {
            throw Failure(.software, "the first block does not register every node")
        }
        creation.begin(with: snapshot)
        creation.file.epochSeconds = plan.epoch
        creation.file.snapshotMaximumAge = SnapshotChain.trustLifetime
        creation.file.authorities = rules.authorities.map { .init(key: $0.key, node: $0.node) }
        creation.file.authorityThreshold = threshold
        var ledger = NetworkFile.Ledger(genesis: genesis.encoded(), blocks: [final.encoded()])
        ledger.blockSeconds = plan.block
        ledger.slotSeconds = plan.slot
        creation.file.ledger = ledger
    }
}

package import OnionCrypto
package import Process
package import Registry
internal import Wire

/// A wallet that signs operations with the account's state, from a relay or from a file made by a relay's owner.
package struct StakeSigner: ~Copyable {
    /// The source of the account's state.
    package enum Source {
        /// A running relay.
        case relay(ControlTarget)
        /// The file of a ``StakeTicket``.
        case file(String)
    }

    private let key: SigningKey
    private let ticket: StakeTicket
    private let network: Bytes32
    /// The height of the last block that may contain the operation.
    package let until: UInt64

    /// Reads the key at `wallet`; operations are valid for the next `blocks` blocks.
    package init(
        wallet: String, passphrase: borrowing Passphrase?, by source: Source, valid blocks: UInt64
    ) throws(Failure) {
        Sodium.initialize()
        let key = try RoleFolder.read(wallet, passphrase: passphrase)
        let ticket = try Self.ticket(of: hexadecimal(key.publicKey.array), wallet: wallet, by: source)
        guard let network = bytes32(hexadecimal: ticket.network) else {
            throw Failure(.software, "no network is named")
        }
        self.network = network
        self.ticket = ticket
        until = ticket.height + min(blocks, .max - ticket.height)
        self.key = key
    }

    /// The state of `account` for signing.
    private static func ticket(
        of account: String, wallet: String, by source: Source
    ) throws(Failure) -> StakeTicket {
        switch source {
        case .relay(let target): return StakeTicket(try target.account(account))
        case .file(let file):
            let ticket = try StakeTicket.read(file)
            guard ticket.account.lowercased() == account else {
                throw Failure(
                    .data, "\(file) is for the account \(ticket.account), and \(wallet) is that of \(account)")
            }
            return ticket
        }
    }

    /// The operation for an action that needs only the account's signature.
    package func sign(_ action: RegistryOperation.Action) -> RegistryOperation {
        RegistryOperation(network: network, nonce: ticket.nonce, until: until, action: action, key: key)
    }

    /// The registration of the node with `nodeKey`.
    package func register(_ nodeKey: borrowing SigningKey, fee: UInt16, stake: UInt64) -> RegistryOperation {
        RegistryOperation(
            registering: nodeKey, fee: fee, stake: stake, network: network, nonce: ticket.nonce, until: until, key: key)
    }

    /// The fee of the operation in atomic units; leaving is free.
    package func cost(of operation: RegistryOperation) -> UInt64 {
        if case .leave = operation.action { return 0 }
        return ticket.operationFee
    }
}

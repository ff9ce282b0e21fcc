package import Control
package import OnionCrypto
package import Process
package import Registry
package import Wire

/// The account's state for a wallet without a network; `tunic stake state` and `tunic stake proof` print it.
package struct StakeTicket: Codable {
    /// The account, 64 hexadecimal digits.
    package var account: String
    /// The network's id, 64 hexadecimal digits.
    package var network: String
    /// The height of the last block.
    package var height: UInt64
    /// The number of applied operations of the account.
    package var nonce: UInt64
    /// The fee of an operation in atomic units.
    package var operationFee: UInt64
    /// For a registration: the node, its fee in 1/10,000, the operator's stake in atomic units, and the node's proof.
    package var registration: Registration?

    package struct Registration: Codable {
        package var node: String
        package var fee: UInt16
        package var stake: UInt64
        /// 128 hexadecimal digits.
        package var proof: String
    }

    enum CodingKeys: String, CodingKey {
        case account, network, height, nonce, registration
        case operationFee = "operation_fee"
    }

    package init(_ report: AccountReport) {
        account = report.account
        network = report.network
        height = report.height
        nonce = report.nonce
        operationFee = report.operationFee
    }

    /// Reads the file `path`.
    package static func read(_ path: String) throws(Failure) -> StakeTicket {
        let contents = try Files.read(path, limit: 65_536)
        guard let ticket = decoded(contents, as: StakeTicket.self) else {
            throw Failure(
                .data,
                "\(path) is not an output of 'tunic stake state' or 'tunic stake proof'; make it again on the node"
            )
        }
        return ticket
    }

    /// The ticket with the proof of the node with `key`, which the account registers with this fee and stake.
    ///
    /// The proof is valid only for the account's next operation.
    package func agreed(by key: borrowing SigningKey, fee: UInt16, stake: UInt64) throws(Failure) -> StakeTicket {
        guard let network = bytes32(hexadecimal: network), let own = bytes32(hexadecimal: account) else {
            throw Failure(.software, "the relay names no network")
        }
        let proof = RegistryOperation.registrationProof(
            of: key, fee: fee, stake: stake, network: network, account: Account(own), nonce: nonce)
        var ticket = self
        ticket.registration = Registration(
            node: NodeID(key.publicKey).description, fee: fee, stake: stake, proof: hexadecimal(proof))
        return ticket
    }

    /// The registration that the node has agreed to in `file`; throws if there is none, or its terms differ from the
    /// given ones.
    package func registered(
        fee: UInt16?, stake: UInt64?, _ file: String
    ) throws(Failure) -> (node: NodeID, fee: UInt16, stake: UInt64, action: RegistryOperation.Action) {
        guard let registration, let id = NodeID(registration.node), let proof = bytes(hexadecimal: registration.proof),
            proof.count == RegistryOperation.signatureSize
        else {
            throw Failure(.data, "\(file) has no proof of a node; make it with 'tunic stake proof' on the node")
        }
        guard fee.map({ $0 == registration.fee }) ?? true, stake.map({ $0 == registration.stake }) ?? true else {
            throw Failure(.data, "\(file) has another fee or stake than the given ones")
        }
        let action = RegistryOperation.Action.register(
            node: id, fee: registration.fee, stake: registration.stake, proof: proof)
        return (id, registration.fee, registration.stake, action)
    }
}

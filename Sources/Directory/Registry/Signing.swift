public import OnionCrypto
public import Wire

extension Descriptor {
    /// The prefix of the message that a node signs.
    private static let prefix = MessagePrefix.descriptor.bytes

    /// The descriptor, signed with the node's own key for the network `network`.
    ///
    /// `key` must be the key of `node`, and the values must be valid.
    public func signed(with key: borrowing SigningKey, network: Bytes32) -> SignedDescriptor {
        precondition(key.publicKey == node.key, "a node signs its own descriptor")
        let message = Self.prefix + network.array + encoded()
        return SignedDescriptor(self, signature: key.sign(message.rawSpan))
    }

    static func message(of signed: SignedDescriptor, network: Bytes32) -> [UInt8] {
        prefix + network.array + signed.body
    }
}

extension SignedDescriptor {
    /// The descriptor's name in lists: H(signed descriptor).
    public var digest: Bytes32 { Blake2b.digest(bytes.rawSpan) }

    /// The first eight bytes of ``digest``, as GET_DESCRIPTOR_CHANGES has them.
    public var shortDigest: UInt64 { Self.shortDigest(of: digest) }

    static func shortDigest(of digest: Bytes32) -> UInt64 {
        digest.array.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Whether the signature is by the node that the descriptor names, for the network `network`.
    public func isAuthentic(network: Bytes32) -> Bool {
        let message = Descriptor.message(of: self, network: network)
        let signature = Array(signature)
        return SigningKey.verify(signature.rawSpan, of: message.rawSpan, by: descriptor.node.key)
    }
}

extension SignedSnapshot {
    /// Adds the signature of the node with `key`.
    public mutating func sign(with key: borrowing SigningKey) { sign(with: key, digest: snapshot.digest) }

    mutating func sign(with key: borrowing SigningKey, digest: Bytes32) {
        let message = Snapshot.message(digest: digest, network: snapshot.network, height: snapshot.height)
        add(Signature(signer: NodeID(key.publicKey), bytes: key.sign(message.rawSpan)))
    }
}

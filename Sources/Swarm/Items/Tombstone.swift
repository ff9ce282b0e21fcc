internal import OnionCrypto
public import Wire

/// The proof that an item was admitted, and deleted by a party that may; it can be verified without the item.
public struct Tombstone: Hashable, Sendable {
    /// The length in bytes.
    public static let size = ItemHeader.size + 32 + SigningKey.signatureSize + DeleteProof.size

    /// The item's header.
    public let header: ItemHeader
    /// The hash of the item's body.
    public let bodyDigest: Bytes32
    /// The item's own signature; zeros for kind 5, and if the box key deletes, whose signature is enough.
    public let signature: [UInt8]
    /// The right to delete the item.
    public let proof: DeleteProof
    /// The item's name.
    public let id: ItemID

    /// The tombstone of `item`.
    public init(of item: StoredItem, proof: DeleteProof) {
        precondition(item.header.kind.isDeletable, "versions are replaced, not deleted")
        header = item.header
        bodyDigest = item.bodyDigest
        signature = proof.isOfBox ? [UInt8](repeating: 0, count: SigningKey.signatureSize) : item.signature
        self.proof = proof
        id = item.id
    }

    /// Reads a whole tombstone of `network`.
    public init(decoding span: RawSpan, network: Bytes32) throws(WireError) {
        var reader = ByteReader(span)
        header = try ItemHeader(from: &reader)
        guard header.kind.isDeletable else { throw .outOfRange }
        bodyDigest = try reader.bytes32()
        signature = try reader.array(SigningKey.signatureSize)
        proof = try DeleteProof(from: &reader)
        if header.kind == .contact || proof.isOfBox, signature.contains(where: { $0 != 0 }) { throw .outOfRange }
        try reader.end()
        id = header.id(bodyDigest: bodyDigest, network: network)
    }

    private init(_ header: ItemHeader, bodyDigest: Bytes32, _ proof: DeleteProof, id: ItemID) {
        self.header = header
        self.bodyDigest = bodyDigest
        signature = [UInt8](repeating: 0, count: SigningKey.signatureSize)
        self.proof = proof
        self.id = id
    }

    /// The same tombstone by the box key, whose signature is `proof`.
    func byBox(_ proof: DeleteProof) -> Tombstone { Tombstone(header, bodyDigest: bodyDigest, proof, id: id) }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        header.encode(to: &writer)
        writer.bytes32(bodyDigest)
        writer.raw(signature)
        proof.encode(to: &writer)
        return writer.bytes
    }

    /// How many leading zero bits the item's effort has.
    public var effort: UInt8 { header.effort(bodyDigest: bodyDigest) }

    /// Whether the box key deleted the item; the tombstone is then valid under every grant.
    public var isOfBox: Bool { proof.isOfBox }

    /// Whether the proof is valid, and if a token deletes a message, the item's signature too; `writers` are those of
    /// the box's grant.
    public func isAuthentic(network: Bytes32, writers: WriteKeys) -> Bool {
        guard proof.isGood(for: header, id: id, network: network) else { return false }
        guard header.kind == .message, !isOfBox else { return true }
        guard let author = writers.author(of: header) else { return false }
        return SigningKey.verify(signature, of: StoredItem.signedMessage(id, network: network), by: author)
    }
}

/// The right to delete an item.
public enum DeleteProof: Hashable, Sendable {
    /// A token whose hash is the item's lock.
    case token(Bytes16)
    /// The box key's signature, 64 bytes.
    case signature([UInt8])

    /// The length of the field `how` and the proof, in bytes.
    static let size = 65

    /// Whether it is the box key's signature.
    public var isOfBox: Bool { if case .signature = self { true } else { false } }

    /// Reads the field `how` and the proof.
    init(from reader: inout ByteReader) throws(WireError) {
        let how = try reader.u8()
        switch how {
        case 1:
            self = .token(try reader.bytes16())
            try reader.zeros(48)
        case 2: self = .signature(try reader.array(SigningKey.signatureSize))
        default: throw .unknownKind(UInt64(how))
        }
    }

    /// Writes the field `how` and the proof.
    func encode(to writer: inout ByteWriter) {
        switch self {
        case .token(let token):
            writer.u8(1)
            writer.bytes16(token)
            writer.zeros(48)
        case .signature(let signature):
            writer.u8(2)
            writer.raw(signature)
        }
    }

    /// The lock that `token` opens.
    public static func lock(of token: Bytes16) -> Bytes16 {
        let digest = Prefix.deleteLock.digest(capacity: 16) { $0.bytes16(token) }
        return Bytes16(Array(digest.array[..<16])) ?? .zeros
    }

    /// The bytes that the box key signs to delete an item of `network`.
    public static func message(id: ItemID, network: Bytes32) -> [UInt8] {
        Prefix.delete.message(capacity: 64) { writer in
            writer.bytes32(network)
            writer.bytes32(id)
        }
    }

    /// Whether the proof allows the deletion of the item of `header`.
    func isGood(for header: ItemHeader, id: ItemID, network: Bytes32) -> Bool {
        switch self {
        case .token(let token): !header.lock.isZero && Self.lock(of: token) == header.lock
        case .signature(let signature):
            SigningKey.verify(signature, of: Self.message(id: id, network: network), by: header.box)
        }
    }
}

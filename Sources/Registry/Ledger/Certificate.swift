internal import Wire

/// A proof that k authorities accepted one block of a height in one slot; the type does not verify it.
public struct Certificate: Hashable, Sendable {
    /// The longest encoding in bytes.
    static let maximumSize = 8 + AuthoritySignature.longestList

    /// The slot, above 0.
    public let slot: UInt64
    /// The acceptances, by ascending authority.
    public let acceptances: [AuthoritySignature]

    /// A certificate of `slot`; sorts the acceptances.
    public init(slot: UInt64, acceptances: [AuthoritySignature]) {
        precondition(slot > 0, "a slot is above 0")
        self.slot = slot
        self.acceptances = acceptances.sorted { $0.authority < $1.authority }
    }

    /// Writes a certificate, or slot 0 for nil.
    static func encode(_ certificate: Certificate?, to writer: inout ByteWriter) {
        writer.u64(certificate?.slot ?? 0)
        if let certificate { AuthoritySignature.encode(certificate.acceptances, to: &writer) }
    }

    /// Reads the output of ``encode(_:to:)``.
    static func decode(from reader: inout ByteReader) throws(WireError) -> Certificate? {
        let slot = try reader.u64()
        guard slot > 0 else { return nil }
        return Certificate(slot: slot, acceptances: try AuthoritySignature.decodeList(from: &reader))
    }
}

/// A block with the certificate by which an authority is locked on it.
public struct BlockLock: Hashable, Sendable {
    /// The certificate, which names the slot.
    public let certificate: Certificate
    /// The block that was accepted.
    public let block: Block

    /// A lock on `block`.
    public init(_ certificate: Certificate, on block: Block) {
        self.certificate = certificate
        self.block = block
    }

    /// The slot of the certificate.
    var slot: UInt64 { certificate.slot }
}

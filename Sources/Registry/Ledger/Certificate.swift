internal import Wire

/// What shows that k authorities accepted one block of a height in one slot; it is not checked here.
public struct Certificate: Hashable, Sendable {
    /// The longest encoding in bytes.
    static let maximumSize = 8 + AuthoritySignature.longestList

    /// The slot, above 0.
    public let slot: UInt64
    /// The acceptances, by ascending authority.
    public let acceptances: [AuthoritySignature]

    /// Acceptances of `slot`, which are sorted.
    public init(slot: UInt64, acceptances: [AuthoritySignature]) {
        precondition(slot > 0, "a slot is above 0")
        self.slot = slot
        self.acceptances = acceptances.sorted { $0.authority < $1.authority }
    }

    /// Writes one, or that there is none: slot 0.
    static func encode(_ certificate: Certificate?, to writer: inout ByteWriter) {
        writer.u64(certificate?.slot ?? 0)
        if let certificate { AuthoritySignature.encode(certificate.acceptances, to: &writer) }
    }

    /// Reads what ``encode(_:to:)`` wrote.
    static func decode(from reader: inout ByteReader) throws(WireError) -> Certificate? {
        let slot = try reader.u64()
        guard slot > 0 else { return nil }
        return Certificate(slot: slot, acceptances: try AuthoritySignature.decodeList(from: &reader))
    }
}

/// A block with the certificate that locks an authority on it.
public struct Lock: Hashable, Sendable {
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

public import Wire

/// What an authority has promised and accepted for one height.
///
/// It must be on disk before any message that depends on it is sent.
public struct AcceptorState: Hashable, Sendable {
    /// The version of the format.
    static let version: UInt8 = 2

    /// The height of the block.
    public let height: UInt64
    /// Nothing of a lower slot is accepted or signed any more.
    public internal(set) var promised: UInt64 = 0
    /// The last slot in which a block was accepted; 0: none.
    public internal(set) var acceptedSlot: UInt64 = 0
    /// The last accepted block; if there is a lock, it is the lock's block.
    public internal(set) var accepted: Block?
    /// The certificate of the highest slot seen for a block; only one of a higher slot makes another block acceptable.
    public internal(set) var certificate: Certificate?

    /// Nothing promised and nothing accepted for `height`.
    public init(height: UInt64) { self.height = height }

    /// The block that the authority is locked on, with its certificate.
    public var lock: BlockLock? {
        guard let certificate, let accepted else { return nil }
        return BlockLock(certificate, on: accepted)
    }

    /// The encoding, for the disk.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 512)
        writer.u8(Self.version)
        writer.u64(height)
        writer.u64(promised)
        writer.u64(acceptedSlot)
        Certificate.encode(certificate, to: &writer)
        if let accepted { writer.raw(accepted.encoded()) }
        return writer.bytes
    }

    /// Reads the output of ``encoded()``; throws for anything else.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        height = try reader.u64()
        promised = try reader.u64()
        acceptedSlot = try reader.u64()
        certificate = try Certificate.decode(from: &reader)
        guard promised >= acceptedSlot, acceptedSlot >= certificate?.slot ?? 0,
            (acceptedSlot > 0) == (reader.remaining > 0)
        else { throw .outOfRange }
        if acceptedSlot > 0 {
            let block = try Block.decode(from: &reader)
            guard block.height == height else { throw .outOfRange }
            accepted = block
        }
        try reader.end()
    }
}

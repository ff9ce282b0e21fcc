public import Wire

/// What an authority has promised for one height; it must be on disk before anything that follows from it leaves the machine.
public struct AuthorityVote: Hashable, Sendable {
    /// The version of the format.
    static let version: UInt8 = 2

    /// The height of the block that it is about.
    public let height: UInt64
    /// Nothing of a lower slot is accepted or signed any more.
    public internal(set) var promised: UInt64 = 0
    /// The slot in which a block was accepted last; 0: none was.
    public internal(set) var acceptedSlot: UInt64 = 0
    /// The block that was accepted last; where there is a lock, it is the block of the lock.
    public internal(set) var accepted: Block?
    /// The certificate of the highest slot that was seen for a block: only a higher one makes another block acceptable.
    public internal(set) var certificate: Certificate?

    /// Nothing promised for `height`.
    public init(height: UInt64) { self.height = height }

    /// The block that the authority is locked on, with its certificate.
    public var lock: Lock? {
        guard let certificate, let accepted else { return nil }
        return Lock(certificate, on: accepted)
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

    /// Reads what ``encoded()`` wrote; anything else throws.
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

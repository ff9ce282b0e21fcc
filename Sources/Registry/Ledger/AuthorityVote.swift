public import Wire

/// What an authority has promised for one height; it must be on disk before anything that follows from it leaves the machine.
public struct AuthorityVote: Hashable, Sendable {
    /// The height of the block that it is about.
    public let height: UInt64
    /// No proposal of a lower slot is accepted any more.
    public internal(set) var promised: UInt64 = 0
    /// The slot in which a block was accepted; 0: none was.
    public internal(set) var acceptedSlot: UInt64 = 0
    /// The block that was accepted last.
    public internal(set) var accepted: Block?
    /// The hash of the one block of this height that was signed for good.
    public internal(set) var signed: Bytes32?

    /// Nothing promised for `height`.
    public init(height: UInt64) { self.height = height }

    /// The encoding, for the disk.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 512)
        writer.u8(1)
        writer.u64(height)
        writer.u64(promised)
        writer.u64(acceptedSlot)
        writer.u8(signed == nil ? 0 : 1)
        if let signed { writer.bytes32(signed) }
        if let accepted { writer.raw(accepted.encoded()) }
        return writer.bytes
    }

    /// Reads what ``encoded()`` wrote; anything else throws.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let version = try reader.u8()
        guard version == 1 else { throw .unknownKind(UInt64(version)) }
        height = try reader.u64()
        promised = try reader.u64()
        acceptedSlot = try reader.u64()
        switch try reader.u8() {
        case 0: signed = nil
        case 1: signed = try reader.bytes32()
        default: throw .outOfRange
        }
        guard promised >= acceptedSlot, (acceptedSlot > 0) == (reader.remaining > 0) else { throw .outOfRange }
        if acceptedSlot > 0 {
            let block = try Block.decode(from: &reader)
            guard block.height == height else { throw .outOfRange }
            accepted = block
        }
        try reader.end()
    }
}

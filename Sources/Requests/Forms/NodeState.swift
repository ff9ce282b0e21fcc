public import Wire

/// The result of STATUS: `height u64 │ fill u8 │ flags u8 (bit 0: stores)` (protocol.md, section 13.3).
public struct NodeState: Hashable, Sendable {
    /// The height of the snapshot that the node trusts.
    public let height: UInt64
    /// How full the node's store is, in sixteenths of its quota.
    public let fill: UInt8
    /// Whether the node stores items.
    public let stores: Bool

    /// A state with these values.
    public init(height: UInt64, fill: UInt8, stores: Bool) {
        self.height = height
        self.fill = fill
        self.stores = stores
    }

    /// Reads a whole result; unknown flags are ignored.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        height = try reader.u64()
        fill = try reader.u8()
        stores = try reader.u8() & 1 == 1
        try reader.end()
        guard fill <= 16 else { throw .outOfRange }
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 10)
        writer.u64(height)
        writer.u8(fill)
        writer.u8(stores ? 1 : 0)
        return writer.bytes
    }
}

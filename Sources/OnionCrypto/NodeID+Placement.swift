public import Wire

extension NodeID {
    /// Where the node stands among the shards of the store (protocol.md, section 12.3): 8 bytes that it cannot choose.
    ///
    /// `block` is a hash that was not known to the operator when the node was registered.
    public func placement(block: Bytes32, network: Bytes32) -> UInt64 {
        var writer = ByteWriter(capacity: 128)
        writer.prefix(.placement)
        writer.bytes32(network)
        writer.nodeID(self)
        writer.bytes32(block)
        return Blake2b.digest(writer.bytes.rawSpan).array.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

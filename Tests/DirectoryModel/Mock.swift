public import Directory
internal import SeededRandom
public import Wire

/// Cheap signatures for simulations: a mix of message and node, which no node makes for another.
public enum Mock {
    /// The check of these signatures.
    public static let check = SignatureCheck { $0 == sign($1, as: $2) }

    /// The signature of `node` over `message`.
    public static func sign(_ message: [UInt8], as node: NodeID) -> [UInt8] {
        var state = SeededGenerator(
            seed: message.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 })
        var bytes = node.key.array + node.key.array
        for place in stride(from: 0, to: 64, by: 8) {
            let word = state.next()
            for index in 0..<8 { bytes[place + index] ^= UInt8(truncatingIfNeeded: word >> UInt64(index * 8)) }
        }
        return bytes
    }

    /// The signature of `node` for `snapshot`.
    public static func sign(_ snapshot: Snapshot, as node: NodeID) -> [UInt8] {
        sign(message(of: snapshot), as: node)
    }

    /// The signed message of a snapshot (protocol.md, section 10.2).
    public static func message(of snapshot: Snapshot) -> [UInt8] {
        message(of: snapshot.digest, height: snapshot.height, network: snapshot.network)
    }

    /// The signed message of the snapshot with `digest`.
    public static func message(of digest: Bytes32, height: UInt64, network: Bytes32) -> [UInt8] {
        var writer = ByteWriter()
        writer.raw("tunic snapshot signature".utf8)
        writer.u8(0)
        writer.bytes32(network)
        writer.u64(height)
        writer.bytes32(digest)
        return writer.bytes
    }
}

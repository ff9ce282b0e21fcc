internal import OnionCrypto
public import Wire

/// A replica's proof that it holds an item: a signature by its node key.
public enum StoreReceipt {
    /// The length of a receipt in bytes.
    public static let size = SigningKey.signatureSize

    /// The message that a replica signs: it holds `id`, by the map of the snapshot at `height`.
    public static func message(height: UInt64, id: ItemID, network: Bytes32) -> [UInt8] {
        Prefix.receipt.message(capacity: 72) { writer in
            writer.bytes32(network)
            writer.u64(height)
            writer.bytes32(id)
        }
    }

    /// Whether `receipt` is valid and made by `node`.
    public static func isGood(
        _ receipt: [UInt8], of node: NodeID, height: UInt64, id: ItemID, network: Bytes32
    ) -> Bool {
        SigningKey.verify(receipt, of: message(height: height, id: id, network: network), by: node.key)
    }
}

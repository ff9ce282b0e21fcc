internal import Directory
internal import OnionCrypto
public import Swarm
public import Wire

/// The messages of `tunic box`: a length, the content, 16 random bytes, and zeros up to a size that items may have.
public enum BoxMessage {
    /// The bytes of an item that are not content.
    private static let overhead = 128 + 4 + 16
    /// The longest content of a message in bytes.
    public static let longest = SwarmLimits.longestItem - overhead

    /// A message of the box's owner, made at `time`; nil if the content is too long.
    static func make(_ content: [UInt8], in key: BoxKey, at time: UnixTime, network: Bytes32) -> StoredItem? {
        guard let size = SwarmLimits.itemSizes.first(where: { $0 - overhead >= content.count }) else { return nil }
        var body = ByteWriter(capacity: size - 128)
        body.u32(UInt32(clamping: content.count))
        body.raw(content)
        // Without them the same content has the same id for ten minutes, and could not be stored again after a
        // deletion.
        body.u64(SecureRandom.u64())
        body.u64(SecureRandom.u64())
        body.zeros(size - overhead - content.count)
        let hint = key.box.array.prefix(8).reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        let header = ItemHeader(kind: .message, box: key.box, created: UInt32(clamping: time.seconds / 60), hint: hint)
        return StoredItem(header, body: body.bytes, network: network) { key.key.sign($0.rawSpan) }
    }

    /// The content of such a message; nil for any other item.
    public static func content(of item: StoredItem) -> [UInt8]? {
        guard item.header.kind == .message else { return nil }
        let body = Array(item.body)
        var reader = ByteReader(body.rawSpan)
        guard let count = try? reader.u32(), Int(count) <= body.count - 4 else { return nil }
        return Array(body[4..<4 + Int(count)])
    }
}

extension Client {
    /// A message with this content that the owner of a box may store; nil if the content is too long.
    public func message(_ content: [UInt8], in key: BoxKey) -> StoredItem? {
        BoxMessage.make(content, in: key, at: directory.time, network: directory.network.id)
    }

    /// Whether the owner of the box, whose key it is, has made this item.
    public func isOfOwner(_ item: StoredItem) -> Bool {
        item.isAuthentic(network: directory.network.id, writers: WriteKeys(box: item.header.box, grant: nil))
    }

    /// The owner's proof for the deletion of an item.
    public func proof(of id: ItemID, by key: BoxKey) -> DeleteProof {
        .signature(key.key.sign(DeleteProof.message(id: id, network: directory.network.id).rawSpan))
    }
}

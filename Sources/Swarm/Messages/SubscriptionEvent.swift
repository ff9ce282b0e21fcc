public import Wire

/// The events that a replica sends on the stream of a subscription, after a status of 0.
public enum SubscriptionEvent: Hashable, Sendable {
    /// 1: an item, which is not decoded.
    case item(offset: UInt64, [UInt8])
    /// 2: an item was deleted.
    case deleted(offset: UInt64, ItemID)
    /// 3: every entry up to `offset` was sent.
    case caughtUp(log: UInt64, offset: UInt64)
    /// 4: the node is no longer a replica; its newest height.
    case moved(height: UInt64)
    /// 5: whether the replica may lack items.
    case outOfDate(Bool)

    /// The longest event in bytes, including its length field.
    public static let maximumSize = 4 + 1 + 8 + SwarmLimits.longestItem

    /// The encoding, with the length of the rest in front.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        switch self {
        case .item(let offset, let item):
            writer.u32(UInt32(9 + item.count))
            writer.u8(1)
            writer.u64(offset)
            writer.raw(item)
        case .deleted(let offset, let id):
            writer.u32(41)
            writer.u8(2)
            writer.u64(offset)
            writer.bytes32(id)
        case .caughtUp(let log, let offset):
            writer.u32(17)
            writer.u8(3)
            writer.u64(log)
            writer.u64(offset)
        case .moved(let height):
            writer.u32(9)
            writer.u8(4)
            writer.u64(height)
        case .outOfDate(let flag):
            writer.u32(2)
            writer.u8(5)
            writer.u8(flag ? 1 : 0)
        }
        return writer.bytes
    }

    /// Reads an event from the front of `reader`; throws `truncated` if it is not complete yet.
    public init(from reader: inout ByteReader) throws(WireError) {
        let length = Int(try reader.u32())
        guard length >= 1, length <= Self.maximumSize - 4 else { throw .outOfRange }
        var part = ByteReader(try reader.bytes(length))
        let kind = try part.u8()
        switch kind {
        case 1:
            let offset = try part.u64()
            guard SwarmLimits.itemSizes.contains(part.remaining) else { throw .outOfRange }
            self = .item(offset: offset, try part.array(part.remaining))
        case 2: self = .deleted(offset: try part.u64(), try part.bytes32())
        case 3: self = .caughtUp(log: try part.u64(), offset: try part.u64())
        case 4: self = .moved(height: try part.u64())
        case 5:
            let flag = try part.u8()
            guard flag < 2 else { throw .outOfRange }
            self = .outOfDate(flag == 1)
        default: throw .unknownKind(UInt64(kind))
        }
        try part.end()
    }
}

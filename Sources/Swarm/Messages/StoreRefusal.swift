internal import Wire

/// Why a replica refuses a request: a status other than 0, with its fields.
public enum StoreRefusal: Error, Hashable, Sendable {
    /// 1: the arguments cannot be read.
    case malformed
    /// 2: the method or the kind is not known.
    case unknown
    /// 3: the node is not a replica of the shard, or does not know the height; the newest height that it knows.
    case notReplica(height: UInt64)
    /// 4: the quota, the admission or the disk is full.
    case full
    /// 6: no signature of a party that may do this.
    case notAuthorised
    /// 7: the item's time is not valid.
    case timeInvalid
    /// 8: ask again after this many seconds.
    case busy(seconds: UInt8)
    /// 9: the replica has a newer version, or the item was deleted; then `created` is the item's own.
    case superseded(created: UInt32, counter: UInt8)

    /// The longest encoding in bytes.
    static let maximumSize = 9

    /// The status byte, never 0.
    public var status: UInt8 {
        switch self {
        case .malformed: 1
        case .unknown: 2
        case .notReplica: 3
        case .full: 4
        case .notAuthorised: 6
        case .timeInvalid: 7
        case .busy: 8
        case .superseded: 9
        }
    }

    /// The status and its fields.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.maximumSize)
        writer.u8(status)
        switch self {
        case .malformed, .unknown, .full, .notAuthorised, .timeInvalid: break
        case .notReplica(let height): writer.u64(height)
        case .busy(let seconds): writer.u8(seconds)
        case .superseded(let created, let counter):
            writer.u32(created)
            writer.u8(counter)
        }
        return writer.bytes
    }

    /// Reads the fields that follow `status`.
    init(_ status: UInt8, from reader: inout ByteReader) throws(WireError) {
        switch status {
        case 1: self = .malformed
        case 2: self = .unknown
        case 3: self = .notReplica(height: try reader.u64())
        case 4: self = .full
        case 6: self = .notAuthorised
        case 7: self = .timeInvalid
        case 8: self = .busy(seconds: try reader.u8())
        case 9: self = .superseded(created: try reader.u32(), counter: try reader.u8())
        default: throw .unknownKind(UInt64(status))
        }
    }
}

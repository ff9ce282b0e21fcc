internal import Wire

/// Why a replica does not do what it is asked: the status that is not 0, and what belongs to it.
public enum StoreRefusal: Error, Hashable, Sendable {
    /// 1: the arguments cannot be read.
    case malformed
    /// 2: the method or the kind is not known.
    case unknown
    /// 3: the node is no replica of the shard, or does not know the height; its newest one.
    case notReplica(height: UInt64)
    /// 4: a quota, the admission or the disk is full.
    case full
    /// 6: nobody who may has signed it.
    case notAuthorised
    /// 7: the item's time is not valid.
    case timeInvalid
    /// 8: to ask again after so many seconds.
    case busy(seconds: UInt8)
    /// 9: a newer version is there.
    case superseded(created: UInt32, counter: UInt8)

    /// The longest encoding.
    static let maximumSize = 9

    /// The status.
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

    /// Status and what follows it.
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

    /// Reads what follows `status`.
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

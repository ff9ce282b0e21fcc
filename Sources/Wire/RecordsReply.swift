/// The exit's whole reply to a request for a name's records, as bytes of its stream: the status and the records.
///
///     status 1 │ where the status is 0: count 1 │ records
///     record = time to live 4 │ length 2 │ data
///
/// All records have the requested type and belong to the name, directly or through aliases. Names in the data are not
/// compressed (RFC 1035, section 3.3). A reply without records means that the name has none of that type.
public struct RecordsReply: Hashable, Sendable {
    /// A record without name and type, which are those of the request.
    public struct Record: Hashable, Sendable {
        /// How many seconds the record may be cached.
        public var timeToLive: UInt32
        /// The data after its length in a DNS message.
        public var data: [UInt8]

        /// A record of `data`.
        public init(timeToLive: UInt32, data: [UInt8]) {
            self.timeToLive = timeToLive
            self.data = data
        }
    }

    /// The records, or the status of the failure.
    public enum Outcome: Hashable, Sendable {
        /// The records; empty if the name has none of the type.
        case found([Record])
        /// The status of the failure; `hostNotFound` means that the name does not exist.
        case failed(OpenReply.Status)
    }

    /// The most records in a reply.
    public static let maximumCount = 255
    /// The longest reply in bytes.
    public static let maximumSize = 32_768

    /// The outcome of the request.
    public var outcome: Outcome

    /// A reply with `outcome`.
    public init(_ outcome: Outcome) { self.outcome = outcome }

    /// The encoding; records beyond the largest reply are left out.
    public func encoded() -> [UInt8] {
        switch outcome {
        case .failed(let status): return OpenReply(status: status).encoded()
        case .found(let records):
            var writer = ByteWriter(capacity: 512)
            var count = UInt8(0)
            for record in records.prefix(Self.maximumCount) {
                guard 2 + writer.bytes.count + 6 + record.data.count <= Self.maximumSize else { break }
                writer.u32(record.timeToLive)
                writer.u16(UInt16(record.data.count))
                writer.raw(record.data)
                count += 1
            }
            return [OpenReply.Status.ok.rawValue, count] + writer.bytes
        }
    }

    /// Reads a reply from the first bytes of a stream; nil while more are needed.
    ///
    /// Throws for an unknown status, and for records longer than a reply may be. The data is not checked.
    public static func decode(from bytes: RawSpan) throws(WireError) -> RecordsReply? {
        guard let (reply, consumed) = try OpenReply.decode(from: bytes) else { return nil }
        guard reply.status == .ok else { return RecordsReply(.failed(reply.status)) }
        var reader = ByteReader(bytes.extracting(droppingFirst: consumed))
        do throws(WireError) {
            let count = try reader.u8()
            var records: [Record] = []
            for _ in 0..<count {
                let timeToLive = try reader.u32()
                let length = Int(try reader.u16())
                guard consumed + reader.offset + length <= maximumSize else { throw .outOfRange }
                records.append(Record(timeToLive: timeToLive, data: try reader.array(length)))
            }
            return RecordsReply(.found(records))
        } catch {
            if error == .truncated { return nil }
            throw error
        }
    }
}

public import Wire

/// An app's query, or the code with which it is answered at once.
public struct DNSQuery: Hashable, Sendable {
    /// The response code of an answer (RFC 1035, section 4.1.1; RFC 6891).
    public enum Code: UInt16, Sendable {
        /// No error; there may still be no records.
        case noError = 0
        /// The query is malformed.
        case formatError = 1
        /// The query could not be answered.
        case serverFailure = 2
        /// The name does not exist.
        case nameError = 3
        /// This kind of query is not supported.
        case notImplemented = 4
        /// The query is refused.
        case refused = 5
        /// The version of EDNS is not supported.
        case badVersion = 16
    }

    /// The content of a message from an app.
    public enum Message: Hashable, Sendable {
        /// A query that must be answered.
        case query(DNSQuery)
        /// A query that can be answered without asking a server.
        case answer(DNSQuery, Code)
        /// Not a query: it gets no answer.
        case none
    }

    /// The longest message that an app needs to send.
    public static let maximumSize = 4_096
    /// The length of a message of an app: at least that of the header.
    public static let sizes = 12...maximumSize
    /// The largest UDP message, as offered to apps: it fits the MTU of any route (RFC 9715).
    static let datagramSize = 1_232

    /// The id, which the answer repeats.
    public var id: UInt16
    /// The question as received, with its type and class; empty if it is malformed.
    public var question: [UInt8]
    /// The requested name; nil if it is not a valid host name.
    public var name: HostName?
    /// The requested type of record.
    public var type: RecordType
    /// The flags that an answer repeats: the opcode, recursion desired, and checking disabled.
    var repeatedFlags: UInt16
    /// The largest UDP message that the app accepts; nil without EDNS.
    var ednsSize: Int?

    /// Reads a message.
    public static func decode(from message: RawSpan) -> Message {
        guard sizes ~= message.byteCount else { return .none }
        var reader = DNSReader(message)
        guard let id = try? reader.u16(), let flags = try? reader.u16(), flags & 0x8000 == 0,
            let counts = try? [reader.u16(), reader.u16(), reader.u16(), reader.u16()]
        else { return .none }
        var query = DNSQuery(
            id: id, question: [], name: nil, type: RecordType(rawValue: 0), repeatedFlags: flags & 0x7910)
        guard flags & 0x7800 == 0 else { return .answer(query, .notImplemented) }
        guard counts[0] == 1, counts[1] == 0, counts[2] == 0, counts[3] <= 2 else {
            return .answer(query, .formatError)
        }
        do throws(DNSReader.Malformed) {
            let name = try reader.name(mayPoint: false)
            query.type = RecordType(rawValue: try reader.u16())
            let isInternet = try reader.u16() == 1
            query.question = [UInt8](copying: message.extracting(12..<reader.offset))
            query.name = HostName(labels: name)
            var isKnownVersion = true
            for _ in 0..<counts[3] {
                let isRoot = try reader.name(mayPoint: false) == [0]
                let type = RecordType(rawValue: try reader.u16())
                let size = Int(try reader.u16())
                let fields = try reader.u32()
                _ = try reader.bytes(Int(try reader.u16()))
                guard type == .opt else { continue }
                guard isRoot, query.ednsSize == nil else { throw DNSReader.Malformed() }
                query.ednsSize = max(size, 512)
                isKnownVersion = fields >> 16 & 0xff == 0
            }
            guard reader.offset == message.byteCount else { throw DNSReader.Malformed() }
            guard isKnownVersion else { return .answer(query, .badVersion) }
            guard isInternet, query.type.isCarried else { return .answer(query, .notImplemented) }
            guard query.name != nil else { return .answer(query, .refused) }
            return .query(query)
        } catch {
            return .answer(query, .formatError)
        }
    }
}

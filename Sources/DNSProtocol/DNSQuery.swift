public import Wire

/// An app's question, or what it is answered at once.
public struct DNSQuery: Hashable, Sendable {
    /// How an answer says how it went (RFC 1035, section 4.1.1; RFC 6891).
    public enum Code: UInt16, Sendable {
        /// It went well; there may be no records all the same.
        case noError = 0
        /// The query cannot be read.
        case formatError = 1
        /// It could not be answered.
        case serverFailure = 2
        /// There is no such name.
        case nameError = 3
        /// This kind of query is not answered here.
        case notImplemented = 4
        /// The query is not wanted.
        case refused = 5
        /// The version of EDNS is not spoken here.
        case badVersion = 16
    }

    /// What a message from an app is.
    public enum Message: Hashable, Sendable {
        /// A question to be answered.
        case query(DNSQuery)
        /// A question that has its answer without asking anybody.
        case answer(DNSQuery, Code)
        /// No query: nothing is answered.
        case none
    }

    /// The longest message that an app has reason to send.
    public static let maximumSize = 4_096
    /// The size of UDP messages that is offered, and never exceeded over UDP: they fit any way (RFC 9715).
    static let datagramSize = 1_232

    /// The number that the answer repeats.
    public var id: UInt16
    /// The question as it came, with its type and class; empty where none could be read.
    public var question: [UInt8]
    /// The name that is asked for; nil where it has not the shape of a host name.
    public var name: HostName?
    /// The type of record that is asked for.
    public var type: RecordType
    /// What an answer repeats of the flags: the opcode, whether recursion is desired, and checking disabled.
    var repeatedFlags: UInt16
    /// The size of UDP messages that the app takes, where it speaks EDNS.
    var ednsSize: Int?

    /// Whether the app speaks EDNS, and so can be told the reason of a failure.
    public var speaksEDNS: Bool { ednsSize != nil }

    /// Reads a message.
    public static func decode(from message: RawSpan) -> Message {
        guard 12...maximumSize ~= message.byteCount else { return .none }
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

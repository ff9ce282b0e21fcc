public import Wire

/// What a proxy tells a client beside a sealed answer (protocol.md, section 13.2).
///
/// Every value is a hint: the proxy can invent each one.
public enum OuterStatus: UInt8, CaseIterable, Sendable {
    /// A sealed answer follows.
    case answer = 0
    /// The target's answer comes later, by ANSWER; never on a stream.
    case later = 1
    /// The target does not hold the key of the envelope; its signed descriptor follows.
    case newKey = 2
    /// The target is busy; seconds u8.
    case busy = 3
    /// The target is not a node that the proxy knows as staked, or is the proxy.
    case unknownTarget = 4
    /// The proxy has no link to the target.
    case noLink = 5
    /// The target has not answered.
    case noAnswer = 6
    /// Too many requests of this session, or here.
    case tooMany = 7
    /// The request or its envelope cannot be read, or was seen before.
    case unreadable = 8
}

extension OuterStatus {
    /// What it says, for people.
    public var name: String {
        switch self {
        case .answer, .later: "an answer"
        case .newKey: "the target has another key"
        case .busy: "the target is busy"
        case .unknownTarget: "the target is not known to the proxy"
        case .noLink: "the proxy cannot reach the target"
        case .noAnswer: "the target does not answer"
        case .tooMany: "the proxy has too many requests"
        case .unreadable: "the request cannot be read"
        }
    }
}

/// An outer status with what follows it.
public enum OuterAnswer: Hashable, Sendable {
    /// 0: the sealed answer; from the client's own terminal a `RequestAnswer`.
    case answer([UInt8])
    /// 1.
    case later
    /// 2: the target's signed descriptor.
    case newKey([UInt8])
    /// 3: to ask again after so many seconds.
    case busy(seconds: UInt8)
    /// 4.
    case unknownTarget
    /// 5.
    case noLink
    /// 6.
    case noAnswer
    /// 7.
    case tooMany
    /// 8.
    case unreadable

    /// Where an answer stands, which decides what it may be.
    public enum Place: Sendable {
        /// On the stream of a request for another node.
        case stream
        /// On the stream of a request for the session's terminal.
        case ownStream
        /// As the answer to FORWARD.
        case forward
        /// In ANSWER.
        case message

        fileprivate func allows(_ status: OuterStatus) -> Bool {
            switch (self, status) {
            case (_, .answer), (_, .busy), (_, .unreadable): true
            case (.forward, .later): true
            case (.stream, .newKey), (.forward, .newKey), (.message, .newKey): true
            case (.stream, .unknownTarget), (.stream, .noLink), (.stream, .noAnswer), (.stream, .tooMany): true
            case (.ownStream, .noAnswer), (.ownStream, .tooMany): true
            case (.stream, .later), (.ownStream, .later), (.message, .later), (.ownStream, .newKey): false
            case (.ownStream, .unknownTarget), (.ownStream, .noLink): false
            case (.forward, .unknownTarget), (.forward, .noLink), (.forward, .noAnswer), (.forward, .tooMany): false
            case (.message, .unknownTarget), (.message, .noLink), (.message, .noAnswer), (.message, .tooMany): false
            }
        }

        fileprivate var hasLength: Bool {
            switch self {
            case .stream, .ownStream: true
            case .forward, .message: false
            }
        }
    }

    /// The longest answer of the session's own terminal, in bytes.
    public static let longestOwnAnswer = 1 << 20
    /// The longest one to a request for another node than the terminal.
    public static let longestForClient = 5 + max(RequestClass.bytes65792.answerSize, Descriptor.maximumSize)

    /// The status.
    public var status: OuterStatus {
        switch self {
        case .answer: .answer
        case .later: .later
        case .newKey: .newKey
        case .busy: .busy
        case .unknownTarget: .unknownTarget
        case .noLink: .noLink
        case .noAnswer: .noAnswer
        case .tooMany: .tooMany
        case .unreadable: .unreadable
        }
    }

    /// What follows the status.
    private var bytes: [UInt8] {
        switch self {
        case .answer(let bytes), .newKey(let bytes): bytes
        case .busy(let seconds): [seconds]
        case .later, .unknownTarget, .noLink, .noAnswer, .tooMany, .unreadable: []
        }
    }

    /// Writes it for `place`; a status that the place does not allow traps.
    public func encoded(for place: Place) -> [UInt8] {
        precondition(place.allows(status), "a status in its place")
        let bytes = bytes
        var writer = ByteWriter(capacity: 5 + bytes.count)
        writer.u8(status.rawValue)
        if place.hasLength { writer.u32(UInt32(bytes.count)) }
        writer.raw(bytes)
        return writer.bytes
    }

    /// Reads all of `span`, which stands at `place`.
    public init(decoding span: RawSpan, at place: Place) throws(WireError) {
        var reader = ByteReader(span)
        let raw = try reader.u8()
        guard let status = OuterStatus(rawValue: raw), place.allows(status) else { throw .unknownKind(UInt64(raw)) }
        if place.hasLength {
            let length = try reader.u32()
            guard length == reader.remaining else { throw length > reader.remaining ? .truncated : .trailingBytes }
        }
        let count = reader.remaining
        switch status {
        case .answer:
            switch place {
            case .ownStream: guard 1...Self.longestOwnAnswer ~= count else { throw .outOfRange }
            case .stream, .forward, .message: guard RequestClass(answerSize: count) != nil else { throw .outOfRange }
            }
            self = .answer(try reader.array(count))
        case .newKey:
            guard 1...Descriptor.maximumSize ~= count else { throw .outOfRange }
            self = .newKey(try reader.array(count))
        case .busy: self = .busy(seconds: try reader.u8())
        case .later: self = .later
        case .unknownTarget: self = .unknownTarget
        case .noLink: self = .noLink
        case .noAnswer: self = .noAnswer
        case .tooMany: self = .tooMany
        case .unreadable: self = .unreadable
        }
        try reader.end()
    }
}

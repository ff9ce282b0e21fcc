public import Wire

/// The status that a proxy tells a client outside of the sealed answer (protocol.md, section 13.2).
///
/// Every value is only a hint: the proxy can make it up.
public enum OuterStatus: UInt8, CaseIterable, Sendable {
    /// A sealed answer follows.
    case answer = 0
    /// The target's answer will come by ANSWER. Never on a stream.
    case later = 1
    /// The target does not have the onion key of the envelope; its signed descriptor follows.
    case newKey = 2
    /// The target is busy. Followed by seconds u8.
    case busy = 3
    /// The proxy does not know the target as a staked node, or is the target itself.
    case unknownTarget = 4
    /// The proxy has no link to the target.
    case noLink = 5
    /// The target has not answered.
    case noAnswer = 6
    /// The session or the proxy has too many requests.
    case tooMany = 7
    /// The request or its envelope cannot be read, or came before.
    case unreadable = 8
}

extension OuterStatus {
    /// The text of the status for users.
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

/// An outer status and its data.
public enum OuterAnswer: Hashable, Sendable {
    /// 0: the sealed answer, or an encoded `RequestAnswer` if the client's own terminal answers.
    case answer([UInt8])
    /// 1: the answer will come by ANSWER.
    case later
    /// 2: the target's signed descriptor.
    case newKey([UInt8])
    /// 3: ask again after this many seconds.
    case busy(seconds: UInt8)
    /// 4: the proxy does not know the target as a staked node, or is it.
    case unknownTarget
    /// 5: the proxy has no link to the target.
    case noLink
    /// 6: the target has not answered.
    case noAnswer
    /// 7: the session or the proxy has too many requests.
    case tooMany
    /// 8: the request or its envelope cannot be read, or came before.
    case unreadable

    /// The position of an answer, which decides the statuses that it may have.
    public enum Place: Sendable {
        /// On the stream of a request for another node.
        case stream
        /// On the stream of a request for the session's terminal.
        case ownStream
        /// As the answer to FORWARD.
        case forward
        /// In ANSWER, after `later`.
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
    /// The longest answer to a request for another node, in bytes.
    public static let longestForClient = 5 + max(RequestClass.bytes65792.answerSize, Descriptor.maximumSize)

    /// The status byte of the answer on the wire.
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

    /// The bytes after the status and the length.
    private var bytes: [UInt8] {
        switch self {
        case .answer(let bytes), .newKey(let bytes): bytes
        case .busy(let seconds): [seconds]
        case .later, .unknownTarget, .noLink, .noAnswer, .tooMany, .unreadable: []
        }
    }

    /// The encoding for `place`; traps if `place` does not allow the status.
    public func encoded(for place: Place) -> [UInt8] {
        precondition(place.allows(status), "a status in its place")
        let bytes = bytes
        var writer = ByteWriter(capacity: 5 + bytes.count)
        writer.u8(status.rawValue)
        if place.hasLength { writer.u32(UInt32(bytes.count)) }
        writer.raw(bytes)
        return writer.bytes
    }

    /// Reads all of `span` as an answer at `place`.
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

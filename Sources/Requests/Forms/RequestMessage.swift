public import Wire

/// The control messages of onion requests, between nodes only (protocol.md, section 13.2).
public enum RequestMessage: UInt8, MessageFamily {
    /// Carries a request to its target.
    case forward = 40
    /// Carries an answer that was not ready in time.
    case answer = 41

    /// The lane of these messages; they have places of their own.
    public var lane: MessageLane { .requests }

    /// The longest body in bytes.
    public var longestBody: Int {
        switch self {
        case .forward: ForwardMessage.headSize + RequestClass.bytes65792.envelopeSize
        case .answer: AnswerMessage.headSize + 1 + RequestClass.bytes65792.answerSize
        }
    }

    /// The longest answer in bytes.
    public var longestAnswer: Int {
        switch self {
        case .forward: 1 + RequestClass.bytes65792.answerSize
        case .answer: 0
        }
    }
}

/// FORWARD: `id 8 │ flags u8 │ puzzle 37 │ envelope`.
public struct ForwardMessage: Hashable, Sendable {
    /// The bytes before the envelope.
    public static let headSize = 8 + 1 + Puzzle.size

    /// The id that the proxy gave the request.
    public let id: UInt64
    /// Whether the proxy itself was asked by RELAY.
    public let isRelayed: Bool
    /// The envelope, of a class's size.
    public let envelope: [UInt8]

    /// A message; traps if the envelope does not have the size of a class.
    public init(id: UInt64, isRelayed: Bool, envelope: [UInt8]) {
        precondition(RequestClass(envelopeSize: envelope.count) != nil, "an envelope has the size of a class")
        self.id = id
        self.isRelayed = isRelayed
        self.envelope = envelope
    }

    /// Reads a whole message.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        id = try reader.u64()
        let flags = try reader.u8()
        guard flags <= 1 else { throw .unknownKind(UInt64(flags)) }
        isRelayed = flags == 1
        try Puzzle.check(&reader)
        guard RequestClass(envelopeSize: reader.remaining) != nil else { throw .outOfRange }
        envelope = try reader.array(reader.remaining)
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.headSize + envelope.count)
        writer.u64(id)
        writer.u8(isRelayed ? 1 : 0)
        writer.zeros(Puzzle.size)
        writer.raw(envelope)
        return writer.bytes
    }
}

/// ANSWER: `id 8 │ outer status u8 │ data of the status`.
public struct AnswerMessage: Hashable, Sendable {
    /// The bytes before the outer status.
    public static let headSize = 8

    /// The id that the proxy gave the request.
    public let id: UInt64
    /// The target's answer.
    public let answer: OuterAnswer

    /// The answer to the request `id`.
    public init(id: UInt64, answer: OuterAnswer) {
        self.id = id
        self.answer = answer
    }

    /// Reads a whole message.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        id = try reader.u64()
        answer = try OuterAnswer(decoding: try reader.bytes(reader.remaining), at: .message)
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.headSize + 1 + RequestClass.bytes1024.answerSize)
        writer.u64(id)
        writer.raw(answer.encoded(for: .message))
        return writer.bytes
    }
}

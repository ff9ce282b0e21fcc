public import Wire

/// A request as the whole content of a stream, which FIN ends (protocol.md, section 13.1).
///
///     version u8 (1) │ kind u8 (6) │ target 32 │ puzzle 37 │ length u32 │ envelope
public enum RequestOpen: Hashable, Sendable {
    /// To another node: an envelope.
    case envelope([UInt8], to: NodeID)
    /// To the session's terminal: method and arguments instead of an envelope, and zeros as the target.
    case own(method: UInt8, arguments: [UInt8])

    /// The version of the format.
    public static let version: UInt8 = 1
    /// The kind of stream.
    public static let streamKind: UInt8 = 6
    /// The bytes before the envelope.
    public static let headSize = 2 + 32 + Puzzle.size + 4
    /// The longest encoding in bytes; a longer stream is refused.
    public static let maximumSize = headSize + RequestClass.bytes65792.envelopeSize

    /// Whether a stream that begins with `bytes` is a request; false if there are fewer than two bytes.
    public static func begins(_ bytes: RawSpan) -> Bool {
        var reader = ByteReader(bytes)
        guard let first = try? reader.u8(), let second = try? reader.u8() else { return false }
        return first == version && second == streamKind
    }

    /// Reads a whole stream.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        let kind = try reader.u8()
        guard kind == Self.streamKind else { throw .unknownKind(UInt64(kind)) }
        let target = NodeID(try reader.bytes32())
        try Puzzle.check(&reader)
        let length = Int(try reader.u32())
        if target.key.isZero {
            guard 1...1 + RequestEnvelope.longestArguments ~= length else { throw .outOfRange }
            self = .own(method: try reader.u8(), arguments: try reader.array(length - 1))
        } else {
            guard RequestClass(envelopeSize: length) != nil else { throw .outOfRange }
            self = .envelope(try reader.array(length), to: target)
        }
        try reader.end()
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.headSize + RequestClass.bytes1024.envelopeSize)
        writer.u8(Self.version)
        writer.u8(Self.streamKind)
        switch self {
        case .envelope(let envelope, let target):
            writer.bytes32(target.key)
            writer.zeros(Puzzle.size)
            writer.u32(UInt32(envelope.count))
            writer.raw(envelope)
        case .own(let method, let arguments):
            writer.zeros(32 + Puzzle.size)
            writer.u32(UInt32(1 + arguments.count))
            writer.u8(method)
            writer.raw(arguments)
        }
        return writer.bytes
    }
}

/// The arguments of RELAY: `target 32 │ puzzle 37 │ envelope`.
public struct RelayRequest: Hashable, Sendable {
    /// The largest class that may be relayed.
    public static let largest = RequestClass.bytes4352

    /// The second target.
    public let target: NodeID
    /// The envelope for the second target.
    public let envelope: [UInt8]

    /// A request for `target`; traps if the envelope does not have the size of a class that may be relayed.
    public init(target: NodeID, envelope: [UInt8]) {
        precondition(Self.fits(envelope.count), "an envelope of a class that may be relayed")
        self.target = target
        self.envelope = envelope
    }

    private static func fits(_ size: Int) -> Bool {
        RequestClass(envelopeSize: size).map { $0.size <= largest.size } ?? false
    }

    /// Reads the arguments.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        target = NodeID(try reader.bytes32())
        guard !target.key.isZero else { throw .outOfRange }
        try Puzzle.check(&reader)
        guard Self.fits(reader.remaining) else { throw .outOfRange }
        envelope = try reader.array(reader.remaining)
    }

    /// The encoding.
    public func encoded() -> [UInt8] { target.key.array + [UInt8](repeating: 0, count: Puzzle.size) + envelope }
}

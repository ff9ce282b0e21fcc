/// What the near end asks for at the beginning of a stream: eight bytes, which the far end answers with the same bytes inverted.
///
/// Byte 0 is the operation, bytes 1 to 3 are the mark `bnc`, bytes 4 to 7 the stream's number, big-endian.
public struct Request: Hashable, Sendable {
    /// What the far end does after its answer.
    public enum Operation: UInt8, Sendable, CaseIterable {
        /// Sends the pattern without end.
        case download = 0x44
        /// Receives the pattern and checks it.
        case upload = 0x55
        /// The same, and sends how many bytes arrived about ten times a second: eight bytes, big-endian, all ones when they differ.
        case reportedUpload = 0x52
        /// Sends back what it receives.
        case ping = 0x50
        /// Ends its direction.
        case fetch = 0x43
    }

    /// The bytes of a request, and of its answer.
    public static let size = 8
    private static let mark: [UInt8] = [0x62, 0x6e, 0x63]

    /// What is asked for.
    public var operation: Operation
    /// Which stream this is; the pattern's place follows from it.
    public var stream: UInt32

    /// A request.
    public init(_ operation: Operation, stream: UInt32) {
        self.operation = operation
        self.stream = stream
    }

    /// Reads a request; nil when these bytes are none.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.size, let operation = Operation(rawValue: bytes[0]),
            Array(bytes[1..<4]) == Self.mark
        else { return nil }
        self.init(operation, stream: bytes[4...].reduce(0) { $0 << 8 | UInt32($1) })
    }

    /// The request as it is sent.
    public var bytes: [UInt8] { [operation.rawValue] + Self.mark + bigEndianBytes(of: stream) }

    /// Its answer.
    public var answer: [UInt8] { bytes.map { ~$0 } }
}

/// The bytes of an integer, the highest first.
func bigEndianBytes(of value: some FixedWidthInteger) -> [UInt8] {
    stride(from: value.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
}

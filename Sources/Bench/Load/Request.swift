/// The request at the beginning of a stream: eight bytes.
///
/// The far end answers with the same bytes inverted.
///
/// Byte 0 is the operation, bytes 1 to 3 are the mark `bnc`, bytes 4 to 7 are the stream's number, big-endian.
public struct Request: Hashable, Sendable {
    /// The far end's task after its answer.
    public enum Operation: UInt8, Sendable, CaseIterable {
        /// Sends the pattern without end.
        case download = 0x44
        /// Receives the pattern and checks it.
        case upload = 0x55
        /// Receives the pattern, checks it, and sends the number of bytes that arrived, about ten times a second.
        ///
        /// The number is eight bytes, big-endian; all ones if the bytes differ from the pattern.
        case reportedUpload = 0x52
        /// Sends back every byte it receives.
        case ping = 0x50
        /// Closes its sending half.
        case fetch = 0x43
    }

    /// The size of a request and of its answer in bytes.
    public static let size = 8
    private static let mark: [UInt8] = [0x62, 0x6e, 0x63]

    /// The operation that is requested.
    public var operation: Operation
    /// The stream's number, which decides its first place in the pattern.
    public var stream: UInt32

    /// A request for `operation` on the stream with this number.
    public init(_ operation: Operation, stream: UInt32) {
        self.operation = operation
        self.stream = stream
    }

    /// Parses a request; nil if these bytes are not one.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.size, let operation = Operation(rawValue: bytes[0]),
            Array(bytes[1..<4]) == Self.mark
        else { return nil }
        self.init(operation, stream: bytes[4...].reduce(0) { $0 << 8 | UInt32($1) })
    }

    /// The request's encoding.
    public var bytes: [UInt8] { [operation.rawValue] + Self.mark + bigEndianBytes(of: stream) }

    /// The far end's answer.
    public var answer: [UInt8] { bytes.map { ~$0 } }
}

/// The bytes of an integer, big-endian.
func bigEndianBytes(of value: some FixedWidthInteger) -> [UInt8] {
    stride(from: value.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
}

/// Thirty-two public bytes, such as a public key or a digest, without an allocation.
///
/// For public values only: it is copied freely and never wiped.
public struct Bytes32: Hashable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64)

    /// Thirty-two zero bytes.
    public init() { words = (0, 0, 0, 0) }

    /// A copy of `span`, which must be 32 bytes long.
    public init(copying span: RawSpan) {
        precondition(span.byteCount == 32, "Bytes32 takes 32 bytes")
        words = (
            unsafe span.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt64.self),
            unsafe span.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt64.self),
            unsafe span.unsafeLoadUnaligned(fromByteOffset: 16, as: UInt64.self),
            unsafe span.unsafeLoadUnaligned(fromByteOffset: 24, as: UInt64.self)
        )
    }

    /// The first 32 bytes of `array`, or nil when it is not 32 bytes long.
    public init?(_ array: [UInt8]) {
        guard array.count == 32 else { return nil }
        self.init(copying: array.rawSpan)
    }

    /// The bytes in order.
    public var array: [UInt8] { unsafe withUnsafeBytes(of: words) { unsafe [UInt8]($0) } }

    /// The bytes in order, copied to `span`, which must be at least 32 bytes long.
    public func copy(to span: inout MutableRawSpan) {
        precondition(span.byteCount >= 32, "Bytes32 needs room for 32 bytes")
        unsafe withUnsafeBytes(of: words) { source in
            unsafe span.withUnsafeMutableBytes { unsafe $0.copyMemory(from: source) }
        }
    }

    /// Calls `body` with the bytes, valid during the call only.
    public func withBytes<Result: ~Copyable, Failure: Error>(
        _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let array = array
        return try body(array.rawSpan)
    }

    /// Whether all bytes are zero.
    public var isZero: Bool { words.0 | words.1 | words.2 | words.3 == 0 }

    /// Whether all bytes are equal.
    public static func == (a: Bytes32, b: Bytes32) -> Bool { a.words == b.words }

    /// Feeds all bytes to `hasher`.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
        hasher.combine(words.3)
    }
}

extension Bytes32: Comparable {
    /// Whether `a`'s bytes come before those of `b`.
    public static func < (a: Bytes32, b: Bytes32) -> Bool { NodeID(a) < NodeID(b) }
}

extension ByteReader {
    /// Reads 32 bytes; throws `truncated` if fewer are left.
    public mutating func bytes32() throws(WireError) -> Bytes32 { Bytes32(copying: try bytes(32)) }
}

extension ByteWriter {
    /// Thirty-two bytes.
    public mutating func bytes32(_ value: Bytes32) { raw(value.array) }
}

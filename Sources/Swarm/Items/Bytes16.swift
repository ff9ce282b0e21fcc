internal import Wire

/// Sixteen public bytes: a name, a delete lock, the key of a comparison.
public struct Bytes16: Hashable, Sendable {
    /// The first and the last eight bytes, each as a number whose order is the order of its bytes.
    private let high: UInt64
    private let low: UInt64

    /// Sixteen zero bytes.
    public static let zeros = Bytes16(high: 0, low: 0)

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The sixteen bytes of `array`, or nil when it has another length.
    public init?(_ array: [UInt8]) {
        guard array.count == 16 else { return nil }
        self.init(high: array[..<8].bigEndian, low: array[8...].bigEndian)
    }

    /// The ASCII letters of `text`, filled with zeros; a longer text traps.
    init(text: StaticString) {
        let letters = "\(text)".utf8
        precondition(letters.count <= 16, "a name has at most 16 bytes")
        let bytes = Array(letters) + [UInt8](repeating: 0, count: 16 - letters.count)
        self.init(high: bytes[..<8].bigEndian, low: bytes[8...].bigEndian)
    }

    /// The bytes in order.
    public var array: [UInt8] { high.bigEndianBytes + low.bigEndianBytes }

    /// Whether all bytes are zero.
    public var isZero: Bool { high | low == 0 }
}

extension Bytes16: Comparable {
    /// Whether `a`'s bytes come before those of `b`.
    public static func < (a: Bytes16, b: Bytes16) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

extension ArraySlice<UInt8> {
    /// The first eight bytes as a number whose order is the order of the bytes.
    var bigEndian: UInt64 { prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}

extension UInt64 {
    /// Eight bytes, the most significant first.
    var bigEndianBytes: [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: self >> UInt64(56 - 8 * $0)) }
    }

    /// The first eight bytes of `value` as a number whose order is the order of the bytes.
    init(leading value: Bytes32) { self = value.array[..<8].bigEndian }
}

extension ByteReader {
    /// Sixteen bytes.
    mutating func bytes16() throws(WireError) -> Bytes16 {
        guard let value = Bytes16(try array(16)) else { throw .truncated }
        return value
    }

    /// Eight bytes as a number whose order is the order of the bytes.
    mutating func ordered64() throws(WireError) -> UInt64 { try array(8)[...].bigEndian }

    /// Throws unless the next `count` bytes are zeros.
    mutating func zeros(_ count: Int) throws(WireError) {
        guard try array(count).allSatisfy({ $0 == 0 }) else { throw .outOfRange }
    }
}

extension ByteWriter {
    /// Sixteen bytes.
    mutating func bytes16(_ value: Bytes16) { raw(value.array) }

    /// Eight bytes of a number whose order is the order of the bytes.
    mutating func ordered64(_ value: UInt64) { raw(value.bigEndianBytes) }
}

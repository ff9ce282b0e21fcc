/// Why bytes from the network could not be decoded.
public enum WireError: Error, Hashable {
    /// The bytes end before the value does.
    case truncated
    /// The value is complete, but bytes follow where none may.
    case trailingBytes
    /// A length, count or number is outside the format's range.
    case outOfRange
    /// A type, version or flag is not known.
    case unknownKind(UInt64)
}

/// Reads fixed-size integers (little-endian), varints and byte runs from the front of a span.
///
/// Every read first checks the remaining length and throws `WireError.truncated` beyond it; a failed read does not
/// advance.
public struct ByteReader: ~Escapable {
    private let bytes: RawSpan
    /// How many bytes have been read.
    public private(set) var offset: Int

    /// Reads from the start of `bytes`.
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) {
        self.bytes = bytes
        self.offset = 0
    }

    /// How many bytes are left.
    public var remaining: Int { bytes.byteCount - offset }

    /// Throws unless all bytes have been read.
    public func end() throws(WireError) {
        if remaining != 0 { throw .trailingBytes }
    }

    private mutating func take<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) throws(WireError) -> T {
        let size = MemoryLayout<T>.size
        guard remaining >= size else { throw .truncated }
        let value = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
        offset += size
        return T(littleEndian: value)
    }

    /// Reads one byte; like all reads, throws `truncated` if too few bytes are left.
    public mutating func u8() throws(WireError) -> UInt8 { try take(UInt8.self) }
    /// Two bytes, little-endian.
    public mutating func u16() throws(WireError) -> UInt16 { try take(UInt16.self) }
    /// Four bytes, little-endian.
    public mutating func u32() throws(WireError) -> UInt32 { try take(UInt32.self) }
    /// Eight bytes, little-endian.
    public mutating func u64() throws(WireError) -> UInt64 { try take(UInt64.self) }

    /// A variable-length integer of 1, 2, 4 or 8 bytes, up to 2^62 - 1 (RFC 9000, section 16).
    public mutating func varint() throws(WireError) -> UInt64 {
        guard remaining >= 1 else { throw .truncated }
        let first = unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
        let length = 1 << Int(first >> 6)
        guard remaining >= length else { throw .truncated }
        var value = UInt64(first & 0x3f)
        var index = 1
        while index < length {
            value = value << 8 | UInt64(unsafe bytes.unsafeLoad(fromByteOffset: offset + index, as: UInt8.self))
            index += 1
        }
        offset += length
        return value
    }

    /// The next `count` bytes, in place.
    @_lifetime(copy self)
    public mutating func bytes(_ count: Int) throws(WireError) -> RawSpan {
        guard count >= 0, remaining >= count else { throw .truncated }
        let run = bytes.extracting(offset..<offset + count)
        offset += count
        return run
    }

    /// The next `count` bytes, copied out.
    public mutating func array(_ count: Int) throws(WireError) -> [UInt8] {
        let run = try bytes(count)
        return [UInt8](copying: run)
    }

    /// Skips `count` bytes; throws `truncated` if fewer are left, or if `count` is negative.
    public mutating func skip(_ count: Int) throws(WireError) {
        guard count >= 0, remaining >= count else { throw .truncated }
        offset += count
    }
}

/// Appends fixed-size integers (little-endian), varints and byte runs to an array: for messages, not for the packet
/// path.
public struct ByteWriter {
    /// The bytes written so far.
    public private(set) var bytes: [UInt8] = []

    /// An empty writer with memory for `capacity` bytes; it grows as needed.
    public init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    private mutating func put<T: FixedWidthInteger>(_ value: T) {
        var rest = value
        for _ in 0..<MemoryLayout<T>.size {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest = MemoryLayout<T>.size > 1 ? rest >> 8 : 0
        }
    }

    /// One byte.
    public mutating func u8(_ value: UInt8) { bytes.append(value) }
    /// Two bytes, little-endian.
    public mutating func u16(_ value: UInt16) { put(value) }
    /// Four bytes, little-endian.
    public mutating func u32(_ value: UInt32) { put(value) }
    /// Eight bytes, little-endian.
    public mutating func u64(_ value: UInt64) { put(value) }

    /// A variable-length integer in its shortest form (RFC 9000, section 16); `value` above 2^62 - 1 traps.
    public mutating func varint(_ value: UInt64) {
        let length = Self.varintSize(value)
        let tag: UInt64 = length == 1 ? 0 : length == 2 ? 1 : length == 4 ? 2 : 3
        let whole = value | tag << UInt64(length * 8 - 2)
        for shift in stride(from: (length - 1) * 8, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: whole >> UInt64(shift)))
        }
    }

    /// The size of `value` as a varint, in bytes.
    public static func varintSize(_ value: UInt64) -> Int {
        precondition(value < 1 << 62, "a varint holds 62 bits")
        return value < 1 << 6 ? 1 : value < 1 << 14 ? 2 : value < 1 << 30 ? 4 : 8
    }

    /// A run of bytes.
    public mutating func raw(_ run: some Sequence<UInt8>) { bytes.append(contentsOf: run) }

    /// `count` zero bytes.
    public mutating func zeros(_ count: Int) { bytes.append(contentsOf: repeatElement(0, count: count)) }
}

/// Writes frames directly to a packet's payload, from its front.
///
/// Callers must first compare `room` with the sizes given here: a write beyond the payload traps.
public struct FrameWriter {
    /// The offset of the next byte.
    public private(set) var offset = 0
    /// The size of the payload in bytes.
    public let size: Int

    /// Writes to a payload of `size` bytes.
    public init(size: Int) { self.size = size }

    /// How many bytes are left.
    public var room: Int { size - offset }

    /// The size of `value` as a varint, in bytes.
    public static func size(_ value: UInt64) -> Int {
        value < 1 << 6 ? 1 : value < 1 << 14 ? 2 : value < 1 << 30 ? 4 : 8
    }

    /// One byte.
    public mutating func u8(_ value: UInt8, into bytes: inout MutableRawSpan) {
        bytes.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
        offset += 1
    }

    /// Eight bytes, little-endian.
    public mutating func u64(_ value: UInt64, into bytes: inout MutableRawSpan) {
        bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
        offset += 8
    }

    /// A varint in its shortest form; `value` is below 2^62.
    public mutating func varint(_ value: UInt64, into bytes: inout MutableRawSpan) {
        if value < 1 << 6 {
            bytes.storeBytes(of: UInt8(truncatingIfNeeded: value), toByteOffset: offset, as: UInt8.self)
            offset += 1
        } else if value < 1 << 14 {
            let whole = UInt16(truncatingIfNeeded: value) | 0x4000
            bytes.storeBytes(of: whole.bigEndian, toByteOffset: offset, as: UInt16.self)
            offset += 2
        } else if value < 1 << 30 {
            let whole = UInt32(truncatingIfNeeded: value) | 0x8000_0000
            bytes.storeBytes(of: whole.bigEndian, toByteOffset: offset, as: UInt32.self)
            offset += 4
        } else {
            precondition(value < 1 << 62, "a varint holds 62 bits")
            bytes.storeBytes(of: (value | 3 << 62).bigEndian, toByteOffset: offset, as: UInt64.self)
            offset += 8
        }
    }

    /// A run of bytes.
    public mutating func raw(_ run: RawSpan, into bytes: inout MutableRawSpan) {
        let count = run.byteCount
        precondition(count <= room && size <= bytes.byteCount, "a frame fits its packet")
        let start = offset
        unsafe bytes.withUnsafeMutableBytes { target in
            unsafe run.withUnsafeBytes { source in
                unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<start + count]).copyMemory(from: source)
            }
        }
        offset += count
    }

    /// Skips `count` bytes that the caller has written.
    public mutating func advance(_ count: Int) {
        precondition(count >= 0 && count <= room, "a frame fits its packet")
        offset += count
    }

    /// Fills the rest with padding.
    public mutating func pad(_ bytes: inout MutableRawSpan) {
        let start = offset
        let end = size
        guard start < end else { return }
        precondition(end <= bytes.byteCount, "a frame fits its packet")
        unsafe bytes.withUnsafeMutableBytes { target in
            _ = unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<end]).initializeMemory(
                as: UInt8.self, repeating: 0)
        }
        offset = end
    }

    // MARK: Frames

    /// The head of a STREAM frame; the data follows.
    ///
    /// `length` is nil if the data reaches to the end of the payload.
    public mutating func streamHead(
        stream: UInt64, offset start: UInt64, length: Int?, fin: Bool, into bytes: inout MutableRawSpan
    ) {
        var type = FrameType.stream
        if fin { type |= StreamFlags.fin }
        if length != nil { type |= StreamFlags.length }
        if start != 0 { type |= StreamFlags.offset }
        u8(type, into: &bytes)
        varint(stream, into: &bytes)
        if start != 0 { varint(start, into: &bytes) }
        if let length { varint(UInt64(length), into: &bytes) }
    }

    /// The size of a `streamHead` without a length, in bytes.
    public static func streamHeadSize(stream: UInt64, offset: UInt64) -> Int {
        1 + size(stream) + (offset == 0 ? 0 : size(offset))
    }
}

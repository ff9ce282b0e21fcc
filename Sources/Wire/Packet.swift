/// Sizes and offsets of a packet (protocol.md, section 4).
///
///     receiver index 4 │ link counter 8 │ link tag 16 │ sealed { path id 8 │ S1 │ S2 │ S3 │ S4 } │ payload
///     slot = hop counter 8 │ tag 16
public enum Packet {
    /// The smallest packet size that a network may choose: the smallest MTU of IPv6 minus its and UDP's headers.
    public static let minimumSize = 1_232
    /// The packet size of a network that chooses none.
    public static let defaultSize = 1_392
    /// The largest packet size that a network may choose.
    public static let maximumSize = 1_452

    /// The offset of the receiver index.
    public static let receiverIndexOffset = 0
    /// The offset of the link counter.
    public static let linkCounterOffset = 4
    /// The offset of the sealed header, which begins with the path id.
    public static let sealedHeaderOffset = 28
    /// The offset of the path id.
    public static let pathIDOffset = 28
    /// The offset of S1.
    public static let firstSlotOffset = 36
    /// The length of a slot: counter and tag.
    public static let slotSize = 24
    /// How many slots there are.
    public static let slotCount = 4
    /// The offset of the payload and the end of the sealed header.
    public static let payloadOffset = 132
    /// Receiver indices below this are types of handshake messages (section 3).
    public static let firstReceiverIndex: UInt32 = 256

    /// The offset of slot `slot` (1 to 4), which begins with its hop counter.
    public static func slotOffset(_ slot: Int) -> Int { firstSlotOffset &+ (slot &- 1) &* slotSize }

    /// The offset of the bytes that slot `slot` (1 to 4) seals; they end with the packet (section 5, "Rj").
    public static func layerOffset(_ slot: Int) -> Int { firstSlotOffset &+ slot &* slotSize }
}

/// The header fields of a packet in place; a span that is too short for a field traps.
extension MutableRawSpan {
    /// The receiver index, or the type of a handshake message.
    public var receiverIndex: UInt32 {
        get {
            UInt32(
                littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: Packet.receiverIndexOffset, as: UInt32.self))
        }
        mutating set {
            storeBytes(of: newValue.littleEndian, toByteOffset: Packet.receiverIndexOffset, as: UInt32.self)
        }
    }

    /// The link counter, which is not encrypted.
    public var linkCounter: UInt64 {
        get { loadLittleEndian(at: Packet.linkCounterOffset) }
        mutating set { storeLittleEndian(newValue, at: Packet.linkCounterOffset) }
    }

    /// The path id; valid only while the header is open.
    public var pathID: UInt64 {
        get { loadLittleEndian(at: Packet.pathIDOffset) }
        mutating set { storeLittleEndian(newValue, at: Packet.pathIDOffset) }
    }

    /// The hop counter of slot `slot` (1 to 4).
    public func hopCounter(_ slot: Int) -> UInt64 { loadLittleEndian(at: Packet.slotOffset(slot)) }

    /// Writes the hop counter of slot `slot` (1 to 4).
    public mutating func setHopCounter(_ slot: Int, _ counter: UInt64) {
        storeLittleEndian(counter, at: Packet.slotOffset(slot))
    }

    /// Zeroes the slots `slots`, a range within 1 to 4.
    @inlinable @inline(__always)
    public mutating func zeroSlots(_ slots: ClosedRange<Int>) {
        precondition(slots.lowerBound >= 1 && slots.upperBound <= Packet.slotCount, "there are four slots")
        precondition(byteCount >= Packet.payloadOffset, "a packet has all slots")
        var slot = slots.lowerBound
        repeat {
            let offset = Packet.firstSlotOffset &+ (slot &- 1) &* Packet.slotSize
            // The packet's length was checked above, once for all stores.
            unsafe storeBytes(of: 0, toUncheckedByteOffset: offset, as: UInt64.self)
            unsafe storeBytes(of: 0, toUncheckedByteOffset: offset &+ 8, as: UInt64.self)
            unsafe storeBytes(of: 0, toUncheckedByteOffset: offset &+ 16, as: UInt64.self)
            slot &+= 1
        } while slot <= slots.upperBound
    }

    /// Eight bytes at `offset` as a little-endian number.
    public func loadLittleEndian(at offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// Writes `value` to the eight bytes at `offset`, little-endian.
    public mutating func storeLittleEndian(_ value: UInt64, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
    }
}

/// The header fields of a packet that is only read.
extension RawSpan {
    /// The receiver index, or the type of a handshake message.
    public var receiverIndex: UInt32 {
        UInt32(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: Packet.receiverIndexOffset, as: UInt32.self))
    }
}

public import Wire

/// The name of an item: the hash of all its bytes except the signature.
public typealias ItemID = Bytes32

/// The first 64 bytes of an item and of its tombstone.
public struct ItemHeader: Hashable, Sendable {
    /// The length in bytes.
    public static let size = 64
    /// The version that is written and read.
    private static let version: UInt8 = 1

    /// The item's kind.
    public let kind: ItemKind
    /// The box that contains the item: an Ed25519 key.
    public let box: Bytes32
    /// When it was made, in minutes since 1970; a multiple of 10.
    public let created: UInt32
    /// The hash of the token that deletes the item; zeros: no token does.
    public let lock: Bytes16
    /// Kind 4: the first eight bytes of the author's key; kind 5: a nonce; other kinds: 0.
    ///
    /// The order of the numbers is that of the bytes.
    public let hint: UInt64

    /// A header; `created` is rounded down to a multiple of 10.
    public init(kind: ItemKind, box: Bytes32, created: UInt32, lock: Bytes16 = .zeros, hint: UInt64 = 0) {
        precondition(!kind.isMutable || (lock.isZero && hint == 0), "a version has neither lock nor hint")
        self.kind = kind
        self.box = box
        self.created = created - created % SwarmLimits.rangeMinutes
        self.lock = lock
        self.hint = hint
    }

    /// Reads a header; throws if any field has a value that is not allowed.
    init(from reader: inout ByteReader) throws(WireError) {
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        let number = try reader.u8()
        guard let kind = ItemKind(rawValue: number) else { throw .unknownKind(UInt64(number)) }
        self.kind = kind
        box = try reader.bytes32()
        created = try reader.u32()
        lock = try reader.bytes16()
        hint = try reader.ordered64()
        try reader.zeros(2)
        guard created % SwarmLimits.rangeMinutes == 0, created <= UInt32.max - 2 * kind.life,
            !kind.isMutable || (lock.isZero && hint == 0)
        else { throw .outOfRange }
    }

    /// Writes the 64 bytes.
    func encode(to writer: inout ByteWriter) {
        writer.u8(Self.version)
        writer.u8(kind.rawValue)
        writer.bytes32(box)
        writer.u32(created)
        writer.bytes16(lock)
        writer.ordered64(hint)
        writer.zeros(2)
    }

    /// The minute from which the item has expired.
    public var expires: UInt32 { created + kind.life }

    /// The number of the item's range: tens of minutes since 1970.
    public var range: UInt32 { created / SwarmLimits.rangeMinutes }

    /// The item's id, from the hash of its body.
    func id(bodyDigest: Bytes32, network: Bytes32) -> ItemID {
        Prefix.item.digest(capacity: 128) { writer in
            writer.bytes32(network)
            encode(to: &writer)
            writer.bytes32(bodyDigest)
        }
    }

    /// How many leading zero bits the effort of an item has, from the hash of its body.
    func effort(bodyDigest: Bytes32) -> UInt8 {
        let digest = Prefix.effort.digest(capacity: 96) { writer in
            encode(to: &writer)
            writer.bytes32(bodyDigest)
        }
        var bits: UInt8 = 0
        for byte in digest.array {
            guard byte == 0 else { return bits + UInt8(byte.leadingZeroBitCount) }
            if bits < 248 { bits += 8 }
        }
        return bits
    }
}

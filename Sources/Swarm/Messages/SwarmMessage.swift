public import Wire

/// The control messages between replicas (protocol.md, section 12.6).
public enum SwarmMessage: UInt8, MessageFamily {
    /// Brings copies.
    case replicate = 44
    /// Compares the holdings of two replicas.
    case compare = 45
    /// Asks for copies.
    case fetchCopies = 46

    /// The lane of these messages; they have places of their own.
    public var lane: MessageLane { .store }

    /// The longest body in bytes.
    public var longestBody: Int {
        switch self {
        case .replicate: SwarmLimits.replicateBytes
        case .compare: 65_536
        case .fetchCopies: 32_800
        }
    }

    /// The longest answer in bytes.
    public var longestAnswer: Int {
        switch self {
        case .replicate: 1 + SwarmLimits.replicateCopies * (1 + StoreReceipt.size)
        case .compare: 65_536
        case .fetchCopies: SwarmLimits.fetchBytes
        }
    }
}

/// The unit that replicas exchange: an item, or the tombstone of one.
public enum Copy: Hashable, Sendable {
    /// An item.
    case item(StoredItem)
    /// A tombstone.
    case tombstone(Tombstone)

    /// The item's header.
    public var header: ItemHeader {
        switch self {
        case .item(let item): item.header
        case .tombstone(let tombstone): tombstone.header
        }
    }

    /// The item's name.
    public var id: ItemID {
        switch self {
        case .item(let item): item.id
        case .tombstone(let tombstone): tombstone.id
        }
    }

    /// Whether it is a tombstone.
    var isTombstone: Bool { if case .tombstone = self { true } else { false } }
    /// Whether it is a tombstone by the box key.
    var isFinal: Bool { if case .tombstone(let tombstone) = self { tombstone.isOfBox } else { false } }

    /// How many leading zero bits the item's effort has.
    var effort: UInt8 {
        switch self {
        case .item(let item): item.effort
        case .tombstone(let tombstone): tombstone.effort
        }
    }

    /// The bytes of the item or tombstone, without form and length.
    public var bytes: [UInt8] {
        switch self {
        case .item(let item): item.bytes
        case .tombstone(let tombstone): tombstone.encoded()
        }
    }

    /// Whether its signatures are valid; `writers` are those of the box's grant.
    func isAuthentic(network: Bytes32, writers: WriteKeys) -> Bool {
        switch self {
        case .item(let item): item.isAuthentic(network: network, writers: writers)
        case .tombstone(let tombstone): tombstone.isAuthentic(network: network, writers: writers)
        }
    }

    /// The bytes of form and length.
    static let overhead = 5

    /// Writes form, length and bytes.
    static func encode(isDeleted: Bool, _ bytes: [UInt8], to writer: inout ByteWriter) {
        writer.u8(isDeleted ? 2 : 1)
        writer.u32(UInt32(bytes.count))
        writer.raw(bytes)
    }

    /// Writes form, length and bytes.
    func encode(to writer: inout ByteWriter) {
        if case .tombstone = self { return Self.encode(isDeleted: true, bytes, to: &writer) }
        Self.encode(isDeleted: false, bytes, to: &writer)
    }

    /// Reads form, length and bytes.
    init(from reader: inout ByteReader, network: Bytes32) throws(WireError) {
        let form = try reader.u8()
        let length = Int(try reader.u32())
        guard length <= SwarmLimits.longestItem else { throw .outOfRange }
        let span = try reader.bytes(length)
        switch form {
        case 1: self = .item(try StoredItem(decoding: span, network: network))
        case 2: self = .tombstone(try Tombstone(decoding: span, network: network))
        default: throw .unknownKind(UInt64(form))
        }
    }
}

/// REPLICATE: copies for a replica, by the map at a height.
public struct Replicate: Hashable, Sendable {
    /// The height of the snapshot whose map names the replicas.
    public let height: UInt64
    /// 1 to 64 copies.
    public let copies: [Copy]

    /// How many bytes of copies, each with form and length, fit into one message.
    static let room = SwarmLimits.replicateBytes - 9

    /// How much work it is for a replica, in bytes: each copy costs a verification and a write, however short it is.
    var work: Int { copies.reduce(9) { $0 + max($1.bytes.count + Copy.overhead, SwarmLimits.putUnit) } }

    /// Copies by the map at `height`; they must fit.
    public init(height: UInt64, copies: [Copy]) {
        precondition(1...SwarmLimits.replicateCopies ~= copies.count, "REPLICATE has 1 to 64 copies")
        self.height = height
        self.copies = copies
    }

    /// Reads a whole message.
    public init(decoding span: RawSpan, network: Bytes32) throws(WireError) {
        guard span.byteCount <= SwarmLimits.replicateBytes else { throw .outOfRange }
        var reader = ByteReader(span)
        height = try reader.u64()
        let count = try reader.u8()
        guard 1...SwarmLimits.replicateCopies ~= Int(count) else { throw .outOfRange }
        var copies: [Copy] = []
        for _ in 0..<count { copies.append(try Copy(from: &reader, network: network)) }
        try reader.end()
        self.copies = copies
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: copies.reduce(9) { $0 + $1.bytes.count + Copy.overhead })
        writer.u64(height)
        writer.u8(UInt8(copies.count))
        for copy in copies { copy.encode(to: &writer) }
        return writer.bytes
    }

    /// A replica's answer for one copy.
    public enum Outcome: Hashable, Sendable {
        /// The copy is on disk; the receipt.
        case held([UInt8])
        /// The copy is refused; the status.
        case refused(UInt8)
    }

    /// The answer.
    public static func encode(_ outcomes: [Outcome]) -> [UInt8] {
        var writer = ByteWriter(capacity: 1 + outcomes.count * 65)
        writer.u8(UInt8(outcomes.count))
        for outcome in outcomes {
            switch outcome {
            case .held(let receipt):
                writer.u8(0)
                writer.raw(receipt)
            case .refused(let status): writer.u8(status)
            }
        }
        return writer.bytes
    }

    /// Reads an answer to a message with `count` copies.
    public static func outcomes(decoding span: RawSpan, count: Int) throws(WireError) -> [Outcome] {
        var reader = ByteReader(span)
        guard try reader.u8() == count else { throw .outOfRange }
        var outcomes: [Outcome] = []
        for _ in 0..<count {
            let status = try reader.u8()
            guard status <= 9, status != 5 else { throw .unknownKind(UInt64(status)) }
            outcomes.append(status == 0 ? .held(try reader.array(StoreReceipt.size)) : .refused(status))
        }
        try reader.end()
        return outcomes
    }
}

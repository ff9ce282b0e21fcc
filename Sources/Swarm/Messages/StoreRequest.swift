internal import OnionCrypto
public import Wire

/// A client's request to a replica, sent as an onion request: the method and its arguments.
public enum StoreRequest: Hashable, Sendable {
    /// Method 1: stores an item, by the map at a height.
    case store(height: UInt64, StoredItem)
    /// Method 2: deletes items of a box.
    case delete(box: Bytes32, [Deletion])
    /// Method 3: lists the entries of a box.
    case list(BoxRead, kinds: ItemKinds)
    /// Method 4: gets the items at some offsets of a box.
    case fetch(BoxRead, offsets: [UInt64])
    /// Method 10: gets items that anyone may read; a name of zeros means any.
    case lookup(box: Bytes32, kind: ItemKind, most: UInt8, name: Bytes16)

    /// An item to delete.
    public struct Deletion: Hashable, Sendable {
        /// The item.
        public let id: ItemID
        /// The right to delete it.
        public let proof: DeleteProof

        /// The deletion of `id`.
        public init(id: ItemID, proof: DeleteProof) {
            self.id = id
            self.proof = proof
        }
    }

    /// The method's number.
    public var method: UInt8 {
        switch self {
        case .store: 1
        case .delete: 2
        case .list: 3
        case .fetch: 4
        case .lookup: 10
        }
    }

    /// Reads the arguments of `method`; throws `WireError.unknownKind` if the store has no such method.
    public init(method: UInt8, arguments span: RawSpan, network: Bytes32) throws(WireError) {
        var reader = ByteReader(span)
        switch method {
        case 1:
            let height = try reader.u64()
            self = .store(height: height, try StoredItem(decoding: reader.bytes(reader.remaining), network: network))
        case 2:
            let box = try reader.bytes32()
            let count = try reader.u8()
            guard 1...SwarmLimits.deletions ~= Int(count) else { throw .outOfRange }
            var deletions: [Deletion] = []
            for _ in 0..<count {
                let how = try reader.u8()
                let id = try reader.bytes32()
                let proof = [how] + (try reader.array(DeleteProof.size - 1))
                var part = ByteReader(proof.rawSpan)
                deletions.append(Deletion(id: id, proof: try DeleteProof(from: &part)))
            }
            self = .delete(box: box, deletions)
        case 3:
            let box = try reader.bytes32()
            guard let kinds = ItemKinds(bits: try reader.u8()) else { throw .outOfRange }
            let log = try reader.u64()
            let after = try reader.u64()
            self = .list(BoxRead(box, log: log, after: after, signature: try reader.array(64)), kinds: kinds)
        case 4:
            let box = try reader.bytes32()
            let log = try reader.u64()
            let count = try reader.u8()
            guard 1...SwarmLimits.fetchOffsets ~= Int(count) else { throw .outOfRange }
            var offsets: [UInt64] = []
            for _ in 0..<count { offsets.append(try reader.u64()) }
            self = .fetch(BoxRead(box, log: log, signature: try reader.array(64)), offsets: offsets)
        case 10:
            let box = try reader.bytes32()
            let number = try reader.u8()
            guard let kind = ItemKind(rawValue: number), kind == .descriptor || kind == .account else {
                throw .unknownKind(UInt64(number))
            }
            let most = try reader.u8()
            guard 1...SwarmLimits.lookups ~= Int(most) else { throw .outOfRange }
            self = .lookup(box: box, kind: kind, most: most, name: try reader.bytes16())
        default: throw .unknownKind(UInt64(method))
        }
        try reader.end()
    }

    /// The arguments; more deletions or offsets than allowed, or none, trap.
    public func arguments() -> [UInt8] {
        var writer = ByteWriter(capacity: 256)
        switch self {
        case .store(let height, let item):
            writer.u64(height)
            writer.raw(item.bytes)
        case .delete(let box, let deletions):
            precondition(1...SwarmLimits.deletions ~= deletions.count, "DELETE has 1 to 64 ids")
            writer.bytes32(box)
            writer.u8(UInt8(deletions.count))
            for deletion in deletions {
                var proof = ByteWriter(capacity: DeleteProof.size)
                deletion.proof.encode(to: &proof)
                writer.u8(proof.bytes[0])
                writer.bytes32(deletion.id)
                writer.raw(proof.bytes[1...])
            }
        case .list(let read, let kinds):
            writer.bytes32(read.box)
            writer.u8(kinds.bits)
            writer.u64(read.log)
            writer.u64(read.after)
            writer.raw(read.signature)
        case .fetch(let read, let offsets):
            precondition(1...SwarmLimits.fetchOffsets ~= offsets.count, "FETCH has 1 to 16 offsets")
            writer.bytes32(read.box)
            writer.u64(read.log)
            writer.u8(UInt8(offsets.count))
            for offset in offsets { writer.u64(offset) }
            writer.raw(read.signature)
        case .lookup(let box, let kind, let most, let name):
            writer.bytes32(box)
            writer.u8(kind.rawValue)
            writer.u8(most)
            writer.bytes16(name)
        }
        return writer.bytes
    }
}

/// A reader's right to a box: the box key's signature, valid in one request or session.
public struct BoxRead: Hashable, Sendable {
    /// The box.
    public let box: Bytes32
    /// The log that `after` belongs to.
    public let log: UInt64
    /// The reader has all entries up to this offset; counts as 0 for another log.
    public let after: UInt64
    /// The box key's signature.
    public let signature: [UInt8]

    /// A read of `box`; `signature` has 64 bytes.
    public init(_ box: Bytes32, log: UInt64, after: UInt64 = 0, signature: [UInt8]) {
        precondition(signature.count == SigningKey.signatureSize, "a signature has 64 bytes")
        self.box = box
        self.log = log
        self.after = after
        self.signature = signature
    }

    /// The message that the box key signs for the request or session of `binding`.
    public static func message(box: Bytes32, binding: Bytes32, network: Bytes32) -> [UInt8] {
        Prefix.boxRead.message(capacity: 96) { writer in
            writer.bytes32(network)
            writer.bytes32(box)
            writer.bytes32(binding)
        }
    }

    /// Whether the box key allows this read in this request or session.
    func isGood(binding: Bytes32, network: Bytes32) -> Bool {
        SigningKey.verify(
            signature, of: Self.message(box: box, binding: binding, network: network), by: box)
    }
}

/// The opening of a subscription: the first bytes of a stream of kind 10.
public struct SubscriptionOpen: Hashable, Sendable {
    /// The length in bytes.
    public static let size = 2 + 32 + 1 + 8 + 8 + 64
    /// The kind of stream.
    public static let streamKind: UInt8 = 10

    /// The box and the reader's right to it.
    public let read: BoxRead
    /// The kinds that the reader wants.
    public let kinds: ItemKinds

    /// A subscription to a box.
    public init(_ read: BoxRead, kinds: ItemKinds) {
        self.read = read
        self.kinds = kinds
    }

    /// Reads a whole opening.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let version = try reader.u8()
        let kind = try reader.u8()
        guard version == 1, kind == Self.streamKind else { throw .unknownKind(UInt64(version == 1 ? kind : version)) }
        let box = try reader.bytes32()
        guard let kinds = ItemKinds(bits: try reader.u8()) else { throw .outOfRange }
        let log = try reader.u64()
        let after = try reader.u64()
        read = BoxRead(box, log: log, after: after, signature: try reader.array(64))
        self.kinds = kinds
        try reader.end()
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.size)
        writer.u8(1)
        writer.u8(Self.streamKind)
        writer.bytes32(read.box)
        writer.u8(kinds.bits)
        writer.u64(read.log)
        writer.u64(read.after)
        writer.raw(read.signature)
        return writer.bytes
    }
}

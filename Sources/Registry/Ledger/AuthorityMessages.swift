public import Wire

/// A request from one authority to another to make the next block (docs/registry.md, "Making blocks").
public enum AuthorityRequest: Hashable, Sendable {
    /// Accept nothing of a lower slot any more, and send the lock.
    case prepare(height: UInt64, slot: UInt64)
    /// Accept a block: a new one by the sender, or one that was accepted, as a certificate proves.
    case propose(slot: UInt64, Certificate?, Block)
    /// Lock on the block that enough authorities have accepted in a slot, and sign it.
    case commit(height: UInt64, hash: Bytes32, Certificate)

    /// The longest encoding in bytes.
    public static let maximumSize = 8 + Certificate.maximumSize + Block.maximumSize

    /// The height of the block.
    public var height: UInt64 {
        switch self {
        case .prepare(let height, _), .commit(let height, _, _): height
        case .propose(_, _, let block): block.height
        }
    }

    /// The slot of the round.
    public var slot: UInt64 {
        switch self {
        case .prepare(_, let slot), .propose(let slot, _, _): slot
        case .commit(_, _, let certificate): certificate.slot
        }
    }

    /// The encoding; the message type, which is not part of it, tells the three apart.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 512)
        switch self {
        case .prepare(let height, let slot):
            writer.u64(height)
            writer.u64(slot)
        case .propose(let slot, let certificate, let block):
            writer.u64(slot)
            Certificate.encode(certificate, to: &writer)
            writer.raw(block.encoded())
        case .commit(let height, let hash, let certificate):
            writer.u64(height)
            writer.bytes32(hash)
            Certificate.encode(certificate, to: &writer)
        }
        return writer.bytes
    }

    /// Reads a whole `prepare`.
    public init(decodingPrepare span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        self = .prepare(height: try reader.u64(), slot: try reader.u64())
        try reader.end()
    }

    /// Reads a whole `propose`.
    public init(decodingPropose span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let slot = try reader.u64()
        let certificate = try Certificate.decode(from: &reader)
        self = .propose(slot: slot, certificate, try Block.decode(from: &reader))
        try reader.end()
    }

    /// Reads a whole `commit`.
    public init(decodingCommit span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let height = try reader.u64()
        let hash = try reader.bytes32()
        guard let certificate = try Certificate.decode(from: &reader) else { throw .outOfRange }
        self = .commit(height: height, hash: hash, certificate)
        try reader.end()
    }
}

/// An authority's answer to another.
public enum AuthorityAnswer: Hashable, Sendable {
    /// Carries the lock, if there is one; the sender accepts and signs nothing of a lower slot any more.
    case promise(BlockLock?)
    /// The signature of the acceptance, or of the block for `commit`.
    case signature([UInt8])
    /// The request is refused; the answerer's chain has this height.
    case refused(Reason, height: UInt64)

    /// Why an authority refuses a request.
    public enum Reason: UInt8, Hashable, Sendable {
        /// Its chain has that height already, or lacks blocks before it.
        case otherHeight = 1
        /// It has promised this slot or a later one, or the sender does not lead in the slot or has sent something
        /// invalid in it.
        case wrongSlot = 2
        /// The block breaks a rule, or is neither the sender's nor certified.
        case badBlock = 3
        /// It has not accepted the block in that slot, or there are too few acceptances.
        case notAccepted = 4
        /// It is locked on another block, and there is no certificate of a higher slot.
        case locked = 5
        /// The slot or the block's time differs from its clock by more than clocks may differ.
        case wrongTime = 6
    }

    /// The longest encoding in bytes.
    public static let maximumSize = 1 + Certificate.maximumSize + Block.maximumSize

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        switch self {
        case .promise(let lock):
            writer.u8(1)
            Certificate.encode(lock?.certificate, to: &writer)
            if let lock { writer.raw(lock.block.encoded()) }
        case .signature(let bytes):
            writer.u8(2)
            writer.raw(bytes)
        case .refused(let reason, let height):
            writer.u8(3)
            writer.u8(reason.rawValue)
            writer.u64(height)
        }
        return writer.bytes
    }

    /// Reads a whole answer.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let kind = try reader.u8()
        switch kind {
        case 1:
            if let certificate = try Certificate.decode(from: &reader) {
                self = .promise(BlockLock(certificate, on: try Block.decode(from: &reader)))
            } else {
                self = .promise(nil)
            }
        case 2: self = .signature(try reader.array(64))
        case 3:
            let code = try reader.u8()
            guard let reason = Reason(rawValue: code) else { throw .unknownKind(UInt64(code)) }
            self = .refused(reason, height: try reader.u64())
        default: throw .unknownKind(UInt64(kind))
        }
        try reader.end()
    }
}

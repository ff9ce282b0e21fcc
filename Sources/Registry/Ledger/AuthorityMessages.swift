public import Wire

/// What one authority asks of another to make the next block (docs/registry.md, "Making blocks").
public enum AuthorityRequest: Hashable, Sendable {
    /// To accept nothing of a lower slot any more, and to say what was accepted.
    case prepare(height: UInt64, slot: UInt64)
    /// To accept a block.
    case propose(slot: UInt64, Block)
    /// To sign for good what enough authorities have accepted in a slot, as their signatures show.
    case commit(height: UInt64, slot: UInt64, hash: Bytes32, acceptances: [AuthoritySignature])

    /// The longest encoding in bytes.
    public static let maximumSize = 8 + Block.maximumSize

    /// The height that it is about.
    public var height: UInt64 {
        switch self {
        case .prepare(let height, _), .commit(let height, _, _, _): height
        case .propose(_, let block): block.height
        }
    }

    /// The encoding; which of the three it is stands outside.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 512)
        switch self {
        case .prepare(let height, let slot):
            writer.u64(height)
            writer.u64(slot)
        case .propose(let slot, let block):
            writer.u64(slot)
            writer.raw(block.encoded())
        case .commit(let height, let slot, let hash, let acceptances):
            writer.u64(height)
            writer.u64(slot)
            writer.bytes32(hash)
            AuthoritySignature.encode(acceptances, to: &writer)
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
        self = .propose(slot: slot, try Block.decode(from: &reader))
        try reader.end()
    }

    /// Reads a whole `commit`.
    public init(decodingCommit span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let height = try reader.u64()
        let slot = try reader.u64()
        let hash = try reader.bytes32()
        let acceptances = try AuthoritySignature.decodeList(from: &reader)
        self = .commit(height: height, slot: slot, hash: hash, acceptances: acceptances)
        try reader.end()
    }
}

/// What an authority answers to another.
public enum AuthorityAnswer: Hashable, Sendable {
    /// Nothing of a lower slot is accepted any more; `accepted` was, in `slot`, before.
    case promise(slot: UInt64, accepted: Block?)
    /// The block is accepted: the signature of the acceptance, or of the block when it was to be signed for good.
    case signature([UInt8])
    /// Not done; the answerer's chain has this height.
    case refused(Reason, height: UInt64)

    /// Why an authority does not do what it is asked.
    public enum Reason: UInt8, Hashable, Sendable {
        /// Its chain has that height already, or lacks blocks before it.
        case otherHeight = 1
        /// It has promised a later slot, or the slot is not the asker's, or not yet.
        case wrongSlot = 2
        /// The block breaks a rule.
        case badBlock = 3
        /// It does not have the block, or the acceptances do not suffice.
        case notAccepted = 4
        /// It has signed another block of that height for good.
        case signedOther = 5
    }

    /// The longest encoding in bytes.
    public static let maximumSize = 9 + Block.maximumSize

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        switch self {
        case .promise(let slot, let accepted):
            writer.u8(1)
            writer.u64(slot)
            if let accepted { writer.raw(accepted.encoded()) }
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
            let slot = try reader.u64()
            guard (slot > 0) == (reader.remaining > 0) else { throw .outOfRange }
            self = .promise(slot: slot, accepted: slot > 0 ? try Block.decode(from: &reader) : nil)
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

internal import OnionCrypto
public import Wire

/// One step of the ledger: a time, operations, and the digest of the state after them (docs/registry.md, "Ledger").
public struct Block: Hashable, Sendable {
    /// The version of the format.
    public static let version: UInt8 = 2
    /// The largest size of a block's operations in bytes, each with its length.
    public static let operationBytes = 200_000
    /// The longest encoding in bytes.
    public static let maximumSize = headSize + 2 + operationBytes
    static let headSize = 1 + 32 + 8 + 8 + 32 + 32 + 1 + SigningKey.proofSize + 32 + 32

    /// The network's id.
    public let network: Bytes32
    /// The previous block's height plus 1; the first block's is 1.
    public let height: UInt64
    /// When it was made, in seconds since 1970.
    public let time: UInt64
    /// The hash of the previous block; for the first block, the genesis hash.
    public let previous: Bytes32
    /// Drawn by the maker, so that nobody else knows the content hash before.
    public let random: Bytes32
    /// The place of the authority that made the block.
    public let maker: UInt8
    /// The maker's proof, 80 bytes, of the random value from which the seed is derived.
    public let proof: [UInt8]
    /// The operations in their order.
    public let operations: [RegistryOperation]
    /// The digest of the state after them.
    public let stateDigest: Bytes32
    /// The digest of the operations.
    public let operationsDigest: Bytes32
    /// The block's name within the state, which the block's hash depends on: a digest of everything except the state's
    /// digest.
    public let contentHash: Bytes32
    /// The block's name, which authorities sign and the next block contains.
    public let hash: Bytes32

    /// The block of these operations; `state` returns the digest of the state after them for the block's content hash.
    init(
        network: Bytes32, height: UInt64, time: UInt64, previous: Bytes32, random: Bytes32, maker: UInt8,
        proof: [UInt8], operations: [RegistryOperation], stateDigest: Bytes32
    ) {
        let digest = Self.digest(of: operations)
        self.init(
            network: network, height: height, time: time, previous: previous, random: random, maker: maker,
            proof: proof, operations: operations, operationsDigest: digest, stateDigest: stateDigest)
    }

    private init(
        network: Bytes32, height: UInt64, time: UInt64, previous: Bytes32, random: Bytes32, maker: UInt8,
        proof: [UInt8], operations: [RegistryOperation], operationsDigest: Bytes32, stateDigest: Bytes32
    ) {
        precondition(proof.count == SigningKey.proofSize, "a proof is 80 bytes long")
        self.random = random
        self.maker = maker
        self.proof = proof
        self.network = network
        self.height = height
        self.time = time
        self.previous = previous
        self.operations = operations
        self.operationsDigest = operationsDigest
        self.stateDigest = stateDigest
        let content = Self.content(
            network: network, height: height, time: time, previous: previous, random: random, maker: maker,
            proof: proof, operationsDigest: operationsDigest)
        contentHash = Self.hash(.ledgerContent, content)
        hash = Self.hash(.ledgerBlock, content + stateDigest.array)
    }

    /// The content hash of a block whose state is not known yet.
    static func contentHash(
        network: Bytes32, height: UInt64, time: UInt64, previous: Bytes32, random: Bytes32, maker: UInt8,
        proof: [UInt8], operations: [RegistryOperation]
    ) -> Bytes32 {
        let content = content(
            network: network, height: height, time: time, previous: previous, random: random, maker: maker,
            proof: proof, operationsDigest: digest(of: operations))
        return hash(.ledgerContent, content)
    }

    private static func content(
        network: Bytes32, height: UInt64, time: UInt64, previous: Bytes32, random: Bytes32, maker: UInt8,
        proof: [UInt8], operationsDigest: Bytes32
    ) -> [UInt8] {
        var writer = ByteWriter(capacity: headSize)
        writer.u8(version)
        writer.bytes32(network)
        writer.u64(height)
        writer.u64(time)
        writer.bytes32(previous)
        writer.bytes32(random)
        writer.u8(maker)
        writer.raw(proof)
        writer.bytes32(operationsDigest)
        return writer.bytes
    }

    private static func encode(_ operations: [RegistryOperation]) -> [UInt8] {
        var writer = ByteWriter(capacity: 2 + operations.count * 256)
        writer.u16(UInt16(operations.count))
        for operation in operations {
            let bytes = operation.encoded()
            writer.u16(UInt16(bytes.count))
            writer.raw(bytes)
        }
        return writer.bytes
    }

    private static func digest(of operations: [RegistryOperation]) -> Bytes32 {
        hash(.ledgerOperations, encode(operations))
    }

    static func hash(_ prefix: MessagePrefix, _ bytes: [UInt8]) -> Bytes32 {
        Blake2b.digest((prefix.bytes + bytes).rawSpan)
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        Self.content(
            network: network, height: height, time: time, previous: previous, random: random, maker: maker,
            proof: proof, operationsDigest: operationsDigest)
            + stateDigest.array + Self.encode(operations)
    }

    /// Reads a whole block; throws for anything else than its exact encoding.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        self = try Self.decode(from: &reader)
        try reader.end()
    }

    /// Reads a block from the front of `reader`.
    static func decode(from reader: inout ByteReader) throws(WireError) -> Block {
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        let network = try reader.bytes32()
        let height = try reader.u64()
        let time = try reader.u64()
        let previous = try reader.bytes32()
        let random = try reader.bytes32()
        let maker = try reader.u8()
        let proof = try reader.array(SigningKey.proofSize)
        let digest = try reader.bytes32()
        let stateDigest = try reader.bytes32()
        let count = Int(try reader.u16())
        var operations: [RegistryOperation] = []
        var size = 0
        for _ in 0..<count {
            let length = Int(try reader.u16())
            size += length + 2
            guard size <= operationBytes, length <= RegistryOperation.maximumSize else { throw .outOfRange }
            let bytes = try reader.array(length)
            operations.append(try RegistryOperation(decoding: bytes.rawSpan))
        }
        let block = Block(
            network: network, height: height, time: time, previous: previous, random: random, maker: maker,
            proof: proof, operations: operations, stateDigest: stateDigest)
        guard block.operationsDigest == digest else { throw .outOfRange }
        return block
    }
}

/// One authority's signature.
public struct AuthoritySignature: Hashable, Sendable {
    /// The longest encoding of a list in bytes.
    static let longestList = 1 + LedgerRules.maximumAuthorities * (1 + SigningKey.signatureSize)

    /// The authority's place in the network file, from 0.
    public let authority: UInt8
    /// The signature, 64 bytes.
    public let bytes: [UInt8]

    /// A signature of the authority at `authority`; `bytes` are 64.
    public init(authority: UInt8, bytes: [UInt8]) {
        precondition(bytes.count == SigningKey.signatureSize, "a signature is 64 bytes long")
        self.authority = authority
        self.bytes = bytes
    }

    static func encode(_ list: [AuthoritySignature], to writer: inout ByteWriter) {
        writer.u8(UInt8(clamping: list.count))
        for signature in list {
            writer.u8(signature.authority)
            writer.raw(signature.bytes)
        }
    }

    /// Reads signatures by ascending authority, at most `LedgerRules.maximumAuthorities`.
    static func decodeList(from reader: inout ByteReader) throws(WireError) -> [AuthoritySignature] {
        let count = Int(try reader.u8())
        guard count <= LedgerRules.maximumAuthorities else { throw .outOfRange }
        var list: [AuthoritySignature] = []
        for _ in 0..<count {
            let next = AuthoritySignature(
                authority: try reader.u8(), bytes: try reader.array(SigningKey.signatureSize))
            if let last = list.last, last.authority >= next.authority { throw .outOfRange }
            list.append(next)
        }
        return list
    }
}

/// A block with the signatures that make it final; they are not checked here.
public struct FinalBlock: Hashable, Sendable {
    /// The longest encoding in bytes.
    public static let maximumSize = Block.maximumSize + 8 + AuthoritySignature.longestList

    /// The block.
    public let block: Block
    /// The slot that the signatures name; the first blocks of a network file may have any.
    public let slot: UInt64
    /// The signatures, by ascending authority.
    public let signatures: [AuthoritySignature]

    /// `block` with `signatures` of `slot`, which are sorted.
    public init(_ block: Block, slot: UInt64, signatures: [AuthoritySignature]) {
        self.block = block
        self.slot = slot
        self.signatures = signatures.sorted { $0.authority < $1.authority }
    }

    /// The encoding: the block's, the slot, then the signatures.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Block.headSize + 512)
        writer.raw(block.encoded())
        writer.u64(slot)
        AuthoritySignature.encode(signatures, to: &writer)
        return writer.bytes
    }

    /// Reads a whole block with its signatures; throws for anything else than its exact encoding.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        block = try Block.decode(from: &reader)
        slot = try reader.u64()
        signatures = try AuthoritySignature.decodeList(from: &reader)
        try reader.end()
    }

    /// The encoding of several blocks, each after its length in 4 bytes.
    public static func encodeList(_ blocks: [[UInt8]]) -> [UInt8] {
        var writer = ByteWriter(capacity: blocks.reduce(0) { $0 + $1.count + 4 })
        for block in blocks {
            writer.u32(UInt32(block.count))
            writer.raw(block)
        }
        return writer.bytes
    }

    /// Reads the output of ``encodeList(_:)``, whole.
    public static func decodeList(_ span: RawSpan) throws(WireError) -> [FinalBlock] {
        var reader = ByteReader(span)
        var list: [FinalBlock] = []
        while reader.remaining > 0 {
            let length = Int(try reader.u32())
            guard length <= maximumSize else { throw .outOfRange }
            let bytes = try reader.array(length)
            list.append(try FinalBlock(decoding: bytes.rawSpan))
        }
        return list
    }
}

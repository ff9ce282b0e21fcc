/// The descriptors that all clients use, as a list of hashes that more than two thirds of the nodes sign (protocol.md,
/// section 10.9).
///
/// A hash is H(signed descriptor). A decoded value satisfies every rule of the format.
public struct DescriptorList: Hashable, Sendable {
    /// The version of the format.
    public static let version: UInt8 = 1
    /// The longest encoding in bytes.
    public static let maximumSize = 1 + 8 + 8 + 32 + 2 + Snapshot.maximumNodes * 32

    /// The number of the round in which it was proposed; at most one list of each round is certified.
    public let round: UInt64
    /// The height of the snapshot whose staked nodes are its voters.
    public let height: UInt64
    /// The digest of that snapshot.
    public let snapshot: Bytes32
    /// The hashes of the descriptors, ascending.
    public let hashes: [Bytes32]

    /// The list of `hashes`, which it sorts; nil if there are duplicates or too many.
    public init?(round: UInt64, height: UInt64, snapshot: Bytes32, hashes: [Bytes32]) {
        guard hashes.count <= Snapshot.maximumNodes else { return nil }
        let sorted = hashes.sorted()
        guard zip(sorted, sorted.dropFirst()).allSatisfy({ $0 < $1 }) else { return nil }
        self.round = round
        self.height = height
        self.snapshot = snapshot
        self.hashes = sorted
    }

    /// The encoding (protocol.md, section 10.9).
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 64 + hashes.count * 32)
        writer.u8(Self.version)
        writer.u64(round)
        writer.u64(height)
        writer.bytes32(snapshot)
        writer.u16(UInt16(hashes.count))
        for hash in hashes { writer.bytes32(hash) }
        return writer.bytes
    }

    /// Reads a list from the front of `reader`; hashes out of order, duplicates, and too many hashes throw
    /// `outOfRange`.
    public init(from reader: inout ByteReader) throws(WireError) {
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        round = try reader.u64()
        height = try reader.u64()
        snapshot = try reader.bytes32()
        let count = Int(try reader.u16())
        guard count <= Snapshot.maximumNodes else { throw .outOfRange }
        guard reader.remaining >= count * 32 else { throw .truncated }
        var list: [Bytes32] = []
        list.reserveCapacity(count)
        for _ in 0..<count {
            let hash = try reader.bytes32()
            if let last = list.last, !(last < hash) { throw .outOfRange }
            list.append(hash)
        }
        hashes = list
    }

    /// The place of `hash`, by binary search.
    public func place(of hash: Bytes32) -> Int? {
        var low = 0
        var high = hashes.count
        while low < high {
            let middle = (low + high) / 2
            if hashes[middle] < hash { low = middle + 1 } else { high = middle }
        }
        return low < hashes.count && hashes[low] == hash ? low : nil
    }
}

/// A list with nodes' signatures; this type does not verify them.
public struct SignedDescriptorList: Hashable, Sendable {
    /// The list that ``signatures`` sign.
    public let list: DescriptorList
    /// The signatures, by ascending signer.
    public let signatures: [SignedSnapshot.Signature]

    /// `list` with `signatures`, in ascending order of signers.
    public init(_ list: DescriptorList, signatures: [SignedSnapshot.Signature]) {
        self.list = list
        self.signatures = signatures
    }

    /// The encoding: the list, a count u16 and signatures of 96 bytes.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 128 + list.hashes.count * 32 + signatures.count * 96)
        writer.raw(list.encoded())
        SignedSnapshot.Signature.encode(signatures, to: &writer)
        return writer.bytes
    }

    /// Reads a whole signed list; remaining bytes throw `trailingBytes`, signers out of order `outOfRange`.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        list = try DescriptorList(from: &reader)
        signatures = try SignedSnapshot.Signature.list(from: &reader)
        try reader.end()
    }
}

/// A list as its proposer offers it and other nodes pass it on: not certified yet.
public struct ListProposal: Hashable, Sendable {
    /// The proposer's signature, 64 bytes, which is also its vote for the list.
    public let signature: [UInt8]
    /// The list that ``signatures`` sign.
    public let list: DescriptorList

    /// `list` with its proposer's signature of 64 bytes.
    public init(signature: [UInt8], list: DescriptorList) {
        precondition(signature.count == 64, "a signature is 64 bytes long")
        self.signature = signature
        self.list = list
    }

    /// The encoding: signature 64, the list.
    public func encoded() -> [UInt8] { signature + list.encoded() }

    /// Reads a whole proposal; remaining bytes throw `trailingBytes`.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        signature = try reader.array(64)
        list = try DescriptorList(from: &reader)
        try reader.end()
    }
}

/// A request for descriptors of a list: the list's digest and a bit for each of its hashes.
///
/// The first hash has the lowest bit of the first byte.
public struct ListedQuestion: Hashable, Sendable {
    /// The digest of the list.
    public let digest: Bytes32
    /// The places of the requested hashes, ascending.
    public let places: [Int]

    /// The descriptors at `places`, ascending and below 10,000, of the list with `digest`.
    public init(digest: Bytes32, places: [Int]) {
        self.digest = digest
        self.places = places
    }

    /// The encoding; its bitmap ends at the last set bit.
    public func encoded() -> [UInt8] {
        var bits = [UInt8](repeating: 0, count: places.last.map { $0 / 8 + 1 } ?? 0)
        for place in places { bits[place / 8] |= 1 << UInt8(place % 8) }
        return digest.array + bits
    }

    /// Reads a whole request; a bitmap of more than 1,250 bytes throws `outOfRange`.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        digest = try reader.bytes32()
        guard reader.remaining <= Snapshot.maximumNodes / 8 else { throw .outOfRange }
        let bits = try reader.array(reader.remaining)
        places = bits.indices.flatMap { byte in (0..<8).lazy.filter { bits[byte] >> $0 & 1 == 1 }.map { byte * 8 + $0 }
        }
    }
}

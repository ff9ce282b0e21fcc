public import Wire

/// The answer to GET_SNAPSHOT_ID (protocol.md, section 8).
public struct SnapshotIDAnswer: Equatable, Sendable {
    /// The height of the newest snapshot.
    public let newest: UInt64
    /// Its digest.
    public let digest: Bytes32
    /// The digest of the snapshot at the requested height, or zeros.
    public let same: Bytes32
    /// The round of the certified list of descriptors, or 0.
    public let listRound: UInt64
    /// The digest of the certified list, or zeros.
    public let listDigest: Bytes32

    /// An answer; nil becomes zeros.
    public init(newest: UInt64, digest: Bytes32, same: Bytes32?, list: (round: UInt64, digest: Bytes32)?) {
        self.newest = newest
        self.digest = digest
        self.same = same ?? Bytes32()
        listRound = list?.round ?? 0
        listDigest = list?.digest ?? Bytes32()
    }

    /// Reads an answer; nil if the bytes are not one.
    public init?(_ body: [UInt8]) {
        var reader = ByteReader(body.rawSpan)
        guard let newest = try? reader.u64(), let digest = try? reader.bytes32(), let same = try? reader.bytes32(),
            let round = try? reader.u64(), let listDigest = try? reader.bytes32(), reader.remaining == 0
        else { return nil }
        (self.newest, self.digest, self.same) = (newest, digest, same)
        (listRound, self.listDigest) = (round, listDigest)
    }

    /// The encoding, 112 bytes.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 112)
        writer.u64(newest)
        writer.bytes32(digest)
        writer.bytes32(same)
        writer.u64(listRound)
        writer.bytes32(listDigest)
        return writer.bytes
    }
}

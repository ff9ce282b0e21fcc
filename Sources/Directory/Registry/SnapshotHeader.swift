internal import OnionCrypto
public import Wire

// What a snapshot's signers sign: a header that names its staked nodes, its contents and the snapshot before, so that who
// knows headers alone can follow what was signed (protocol.md, section 10.2).

extension Snapshot {
    /// The digest that names the snapshot: what people compare, and what is signed.
    ///
    /// Costs a pass over the whole snapshot.
    public var digest: Bytes32 { header.digest(network: network, previous: previous) }

    /// What is signed of the snapshot; costs a pass over all of it.
    public var header: SnapshotUpdate.Header {
        var writer = ByteWriter(capacity: 128 + preface.extensionBytes.count + entries.count * Entry.size)
        writer.prefix(.snapshotContents)
        preface.encode(to: &writer)
        writer.u16(UInt16(entries.count))
        for entry in entries { entry.encode(to: &writer) }
        return SnapshotUpdate.Header(
            height: height, time: time, voters: Self.digest(ofVoters: voters),
            contents: Blake2b.digest(writer.bytes.rawSpan))
    }

    /// The digest of a list of staked nodes, which stand by ascending node id.
    static func digest(ofVoters voters: [NodeID]) -> Bytes32 {
        var writer = ByteWriter(capacity: 32 + voters.count * 32)
        writer.prefix(.snapshotVoters)
        for node in voters { writer.nodeID(node) }
        return Blake2b.digest(writer.bytes.rawSpan)
    }

    /// What a node signs for the snapshot with this digest.
    static func message(digest: Bytes32, network: Bytes32, height: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.prefix(.snapshotSignature)
        writer.bytes32(network)
        writer.u64(height)
        writer.bytes32(digest)
        return writer.bytes
    }
}

extension SnapshotUpdate.Header {
    /// The digest of the snapshot with this header, behind the one with the digest `previous`.
    func digest(network: Bytes32, previous: Bytes32) -> Bytes32 {
        var writer = ByteWriter(capacity: 192)
        writer.prefix(.snapshot)
        writer.u8(Snapshot.version)
        writer.bytes32(network)
        writer.u64(height)
        writer.u64(time.seconds)
        writer.bytes32(previous)
        writer.bytes32(voters)
        writer.bytes32(contents)
        return Blake2b.digest(writer.bytes.rawSpan)
    }
}

/// How signatures of snapshots are checked: Ed25519, or what a simulation puts in its place.
public struct SignatureCheck: Sendable {
    /// Whether a signature of 64 bytes is the node's over a message.
    public let isGood: @Sendable (_ signature: [UInt8], _ message: [UInt8], _ node: NodeID) -> Bool

    /// A check by `isGood`.
    public init(_ isGood: @escaping @Sendable (_ signature: [UInt8], _ message: [UInt8], _ node: NodeID) -> Bool) {
        self.isGood = isGood
    }

    /// Ed25519: about 65 µs each.
    public static let ed25519 = SignatureCheck { signature, message, node in
        SigningKey.verify(signature.rawSpan, of: message.rawSpan, by: node.key)
    }
}

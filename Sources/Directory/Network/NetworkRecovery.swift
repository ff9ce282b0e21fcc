public import Wire

/// Why no network file can be made for the nodes that are left of a network.
public enum RecoveryRefusal: Error, Equatable {
    /// A node that is to be left out is not in the snapshot.
    case unknownNode(NodeID)
    /// The height is not above that of the newest snapshot that is known.
    case heightNotAbove(UInt64)
    /// No node is left.
    case noNodes
    /// No node of the bootstrap list is left.
    case noBootstrap
    /// The copies have other values of these keys.
    case differs([String])
    /// A signature is not its node's.
    case badSignature(NodeID)
    /// The draft's height is not above that of another snapshot, which the node that is to sign trusts, or far above it.
    case heightNotNear(UInt64, trusted: UInt64)
    /// The node has signed another snapshot, at a height that is not below the draft's.
    case hasSigned(UInt64)
}

/// A new network file for a network whose voters are gone: the same id, the nodes that are left, and their signatures
/// (docs/operator-guide.md, "When a third of the nodes is gone").
///
/// Who starts with it trusts it as any network file, so that no signature of a node that is gone is needed.
extension NetworkFile {
    /// This file with a snapshot of the nodes of `newest`, of which those of `gone` are suspended.
    ///
    /// Its height is `height`, above that of `newest` (nil: one above). Nobody has signed it yet.
    public func recovered(
        from newest: Snapshot, without gone: Set<NodeID>, height: UInt64?, at now: UnixTime
    ) throws(RecoveryRefusal) -> NetworkFile {
        for node in gone.sorted() where newest.entry(of: node) == nil { throw .unknownNode(node) }
        let (next, overflow) = newest.height.addingReportingOverflow(1)
        guard !overflow, height ?? next > newest.height else { throw .heightNotAbove(newest.height) }
        let entries = newest.entries.map { entry in
            var entry = entry
            if gone.contains(entry.node), entry.isStaked { entry.state = .suspended }
            return entry
        }
        guard
            let snapshot = Snapshot(
                network: id, height: height ?? next, time: UnixTime(seconds: max(now.seconds, newest.time.seconds)),
                preface: newest.preface, entries: entries), snapshot.stakedCount > 0
        else { throw .noNodes }
        var file = self
        file.bootstrap = bootstrap.filter { snapshot.isStaked($0.node) }
        guard !file.bootstrap.isEmpty else { throw .noBootstrap }
        file.snapshot = SignedSnapshot(snapshot)
        return file
    }

    /// Reads a network file that too few nodes may have signed yet, and checks all else.
    public init(draft text: [UInt8]) throws(NetworkFileError) {
        self = try Self.read(text)
        try validate(isDraft: true)
    }

    /// Takes the signatures of another copy, which is the same but for them; each of both is verified.
    public mutating func merge(_ other: NetworkFile) throws(RecoveryRefusal) {
        guard unsigned == other.unsigned else { throw .differs(differences(from: other)) }
        let whole = snapshot.snapshot
        let message = Snapshot.message(digest: whole.digest, network: id, height: whole.height)
        for signature in snapshot.signatures + other.snapshot.signatures {
            guard whole.isStaked(signature.signer),
                SignatureCheck.ed25519.isGood(signature.bytes, message, signature.signer)
            else { throw .badSignature(signature.signer) }
            snapshot.add(signature)
        }
    }

    /// How far above the trusted snapshot a draft may be: what is signed bars every lower height, for ever.
    public static let furthestHeight: UInt64 = 1 << 32

    /// Throws where a node that trusts the snapshot `trusted` and has `signed` one (nil: none) must not sign this one.
    ///
    /// The same snapshot may be signed again.
    public func checkHeight(
        above trusted: Snapshot, signed: SnapshotSigning.Signed?
    ) throws(RecoveryRefusal) {
        let draft = snapshot.snapshot
        if draft.digest != trusted.digest {
            guard draft.height > trusted.height, draft.height - trusted.height <= Self.furthestHeight else {
                throw .heightNotNear(draft.height, trusted: trusted.height)
            }
        }
        if let signed, signed.height >= draft.height, signed.digest != draft.digest { throw .hasSigned(signed.height) }
    }

    /// How many of its nodes have signed the snapshot, and how many must.
    public var progress: (signed: Int, needed: Int) {
        let whole = snapshot.snapshot
        return (snapshot.signatures.count { whole.isStaked($0.signer) }, SnapshotChain.quorum(of: whole))
    }
}

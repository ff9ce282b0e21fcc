public import Wire

/// Why no network file can be made for the remaining nodes of a network.
public enum RecoveryRefusal: Error, Equatable {
    /// A node to leave out is not in the snapshot.
    case unknownNode(NodeID)
    /// The height is not above that of the newest known snapshot.
    case heightNotAbove(UInt64)
    /// No node remains.
    case noNodes
    /// No node of the bootstrap list remains.
    case noBootstrap
    /// The copies differ in the values of these keys.
    case differs([String])
    /// A signature is not its node's.
    case badSignature(NodeID)
    /// The draft is not above the snapshot that the signing node trusts, or is too far above it, and is another
    /// snapshot.
    case heightNotNear(UInt64, trusted: UInt64)
    /// The node has signed another snapshot, at this height, which is not below the draft's.
    case hasSigned(UInt64)
}

/// A new network file for a network that lost too many voters: the same id, the remaining nodes, and their signatures
/// (docs/operator-guide.md, "When a third of the nodes is gone").
///
/// A process that starts with it trusts it like any network file, so it needs no signature of a lost node.
extension NetworkFile {
    /// This file with an unsigned snapshot of the nodes of `newest`, in which the nodes of `gone` are suspended.
    ///
    /// The snapshot has the height `height`, which must be above that of `newest`; nil: one above.
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

    /// Reads a draft of a network file and checks everything but its signatures.
    public init(draft text: [UInt8]) throws(NetworkFileError) {
        self = try Self.read(text)
        try validate(isDraft: true)
    }

    /// Adds the signatures of another copy, which may differ in nothing else; verifies the signatures of both.
    ///
    /// After `badSignature`, some of the signatures may have been added.
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

    /// The largest distance of a draft's height above the trusted snapshot: a signature rules out all lower heights for
    /// ever.
    public static let furthestHeight: UInt64 = 1 << 32

    /// Throws if a node must not sign this draft; it trusts the snapshot `trusted` and last signed `signed` (nil:
    /// none).
    ///
    /// It may sign the same snapshot again.
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

    /// The number of nodes that have signed the snapshot, and the number that must.
    public var progress: (signed: Int, needed: Int) {
        let whole = snapshot.snapshot
        return (snapshot.signatures.count { whole.isStaked($0.signer) }, SnapshotChain.quorum(of: whole))
    }
}

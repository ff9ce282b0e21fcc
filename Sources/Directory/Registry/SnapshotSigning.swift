public import Wire

/// How a node comes from one snapshot to the next: it signs what its registry says, collects the others' signatures, and
/// trusts what more than two thirds signed (protocol.md, section 10.3).
///
/// A value without a clock, a socket or a thread: signatures are checked where its owner likes.
public struct SnapshotSigning: Sendable {
    /// What was signed last: never another one at that height.
    public struct Signed: Hashable, Sendable {
        /// The height.
        public let height: UInt64
        /// The digest of what was signed there.
        public let digest: Bytes32

        /// The signature for `digest` at `height`.
        public init(height: UInt64, digest: Bytes32) {
            self.height = height
            self.digest = digest
        }
    }

    /// The snapshot that is trusted, and the rule.
    public private(set) var chain: SnapshotChain
    /// What leads others there.
    public private(set) var history: SnapshotHistory
    /// The snapshot that is to be the next one, as our registry has it.
    public private(set) var next: SnapshotSignatures?
    /// The trusted snapshot's signatures, which go on being collected: who sleeps for long needs those of many.
    public private(set) var last: SnapshotSignatures?
    /// What this node signed last.
    public private(set) var signed: Signed?
    private var proposed: UnixTime?

    /// Begins at what `chain` trusts, with the `history` that leads there.
    public init(_ chain: SnapshotChain, history: SnapshotHistory? = nil, signed: Signed? = nil) {
        self.chain = chain
        self.signed = signed
        if let history, history.digest == chain.digest {
            self.history = history
        } else if let history, history.count > 0, history.newest.height < chain.snapshot.height {
            // The end came between two writings: what is missing is asked for.
            self.history = history
            self.chain.fallBack(to: history.newest, digest: history.digest)
        } else if chain.digest == chain.firstDigest {
            self.history = SnapshotHistory(first: chain.first, digest: chain.firstDigest)
        } else {
            self.history = SnapshotHistory(first: chain.snapshot, digest: chain.digest)
        }
    }

    /// Begins as ``init(_:history:signed:)`` does, with what ``encode(_:)`` made of the last signature; throws where it is damaged,
    /// for without it another snapshot of that height would be signed.
    ///
    /// What was signed is proposed again: where many restart at once, theirs may be all the signatures of this epoch, and a
    /// registry may tell of the coming epochs only.
    public init(
        _ chain: SnapshotChain, history: SnapshotHistory?, kept: [UInt8]?, at now: UnixTime
    ) throws(WireError) {
        var signed: Signed?
        var again: Snapshot?
        if let kept {
            let found = try Self.signed(kept: kept)
            signed = found.signed
            again = found.snapshot
        }
        self.init(chain, history: history, signed: signed)
        if let again { _ = propose(again, at: now) }
    }

    /// What is to be kept on disk of a signature: height u64, digest 32, signed snapshot without signatures.
    public static func encode(_ due: SnapshotSignatures) -> [UInt8] { encode(due.snapshot, digest: due.digest) }

    /// The same for a snapshot with this digest.
    public static func encode(_ snapshot: Snapshot, digest: Bytes32) -> [UInt8] {
        var writer = ByteWriter()
        writer.u64(snapshot.height)
        writer.bytes32(digest)
        writer.raw(SignedSnapshot(snapshot).encoded())
        return writer.bytes
    }

    /// The name by which the store keeps the last signature.
    public static let keptName = "signed snapshot"

    /// What was signed last, of ``encode(_:)``'s bytes; throws where they are damaged.
    ///
    /// The snapshot is nil if it is of another version of the format: the promise not to sign again at its height stays.
    public static func signed(kept: [UInt8]) throws(WireError) -> (signed: Signed, snapshot: Snapshot?) {
        var reader = ByteReader(kept.rawSpan)
        let signed = Signed(height: try reader.u64(), digest: try reader.bytes32())
        let rest = try reader.array(reader.remaining)
        if let version = rest.first, version != Snapshot.version { return (signed, nil) }
        let snapshot = try SignedSnapshot(decoding: rest.rawSpan).snapshot
        guard snapshot.height == signed.height, snapshot.digest == signed.digest else { throw .outOfRange }
        return (signed, snapshot)
    }

    /// The trusted snapshot.
    public var snapshot: Snapshot { chain.snapshot }

    // MARK: Signing

    /// Takes what the registry says for a coming height; what is not above the trusted height and the one proposed before is left alone.
    ///
    /// Returns whether there is something new to sign.
    public mutating func propose(_ registry: Snapshot, at now: UnixTime) -> Bool {
        guard registry.network == snapshot.network, registry.height > chain.highWaterMark.height,
            registry.height > next?.snapshot.height ?? 0, registry.stakedCount > 0, registry.time >= snapshot.time
        else { return false }
        next = SnapshotSignatures(registry.following(chain.digest), voters: snapshot.voters)
        proposed = now
        return true
    }

    /// What this node has to sign now: nothing where it decides about nothing, or has signed at that height before.
    ///
    /// A node that may have missed a snapshot waits for a quarter of an epoch, for what it signs names the one before.
    public func due(_ node: NodeID, epoch: UInt64, at now: UnixTime) -> SnapshotSignatures? {
        guard let next, let proposed, let place = next.place(of: node), !next.holds(place) else { return nil }
        if let signed {
            guard signed.height < next.snapshot.height || signed.digest == next.digest else { return nil }
        }
        let gap = next.snapshot.time.seconds - min(next.snapshot.time.seconds, snapshot.time.seconds)
        if gap > epoch + epoch / 2, snapshot.height > chain.first.height {
            guard now.seconds >= proposed.seconds + epoch / 4 else { return nil }
        }
        return next
    }

    /// Signs what is due by `sign`, which makes 64 bytes of a message; returns the item to pass on.
    ///
    /// `keep` puts what will be signed on disk first. When it throws nothing is signed: a node that cannot write could sign another
    /// snapshot of the height after a restart.
    public mutating func sign(
        as node: NodeID, keeping keep: (SnapshotSignatures) throws -> Void, by sign: ([UInt8]) -> [UInt8]
    ) rethrows -> SnapshotSignatures.Item? {
        guard let next, let place = next.place(of: node) else { return nil }
        try keep(next)
        signed = Signed(height: next.snapshot.height, digest: next.digest)
        return SnapshotSignatures.Item(place: place, bytes: sign(next.message))
    }

    /// Signs what is due without keeping it: for nodes that keep nothing.
    public mutating func sign(as node: NodeID, by sign: ([UInt8]) -> [UInt8]) -> SnapshotSignatures.Item? {
        self.sign(as: node, keeping: { _ in }, by: sign)
    }

    // MARK: Others' signatures

    /// The signatures that are collected for the snapshot with `digest`, which is the next or the last one; nil for others.
    public func collection(_ digest: Bytes32) -> SnapshotSignatures? {
        if next?.digest == digest { return next }
        return last?.digest == digest ? last : nil
    }

    /// Adds checked signatures for the snapshot with `digest`; returns the new ones, and whether a new snapshot is trusted by them.
    public mutating func add(
        _ items: [SnapshotSignatures.Item], for digest: Bytes32, at now: UnixTime
    ) -> (new: [SnapshotSignatures.Item], isFinal: Bool) {
        if last?.digest == digest {
            let new = items.filter { last!.add($0) }
            for item in new { history.add(item.bytes, of: last!.voters[item.place], height: last!.snapshot.height) }
            return (new, false)
        }
        guard next?.digest == digest else { return ([], false) }
        let new = items.filter { next!.add($0) }
        return (new, settle(at: now))
    }

    private mutating func settle(at now: UnixTime) -> Bool {
        guard let next, next.isFinal, (try? chain.accept(checked: next.snapshot, digest: next.digest, at: now)) == true
        else { return false }
        history.append(next.snapshot, digest: next.digest)
        for item in next.missing(in: [], byteLimit: .max) {
            history.add(item.bytes, of: next.voters[item.place], height: next.snapshot.height)
        }
        last = next
        self.next = nil
        proposed = nil
        return true
    }

    // MARK: Updates

    /// Goes on from what an accepted update led to; `accepted` is this chain after it.
    ///
    /// Does nothing if the trusted snapshot has moved on meanwhile.
    public mutating func take(_ update: SnapshotUpdate, accepted: SnapshotChain) -> Bool {
        guard accepted.snapshot.height > snapshot.height else { return false }
        history.absorb(update, earlier: chain.earlier)
        if history.digest != accepted.digest {
            // The history does not lead there: it begins anew.
            history = SnapshotHistory(first: accepted.snapshot, digest: accepted.digest)
        }
        chain = accepted
        restart()
        return true
    }

    private mutating func restart() {
        let held = next
        next = nil
        last = nil
        proposed = nil
        // What was signed before names another one before it: it counts no more.
        if let held, held.snapshot.height > snapshot.height { _ = propose(held.snapshot, at: snapshot.time) }
    }
}

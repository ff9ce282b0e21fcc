public import Wire

/// How a node moves from one snapshot to the next (protocol.md, section 10.3).
///
/// It signs its registry's snapshot, collects the others' signatures, and trusts the snapshot that more than two thirds
/// have signed. A value type without a clock, a socket or a thread; its owner decides where signatures are checked.
public struct SnapshotSigning: Sendable {
    /// The last signature of this node, which must sign no other snapshot of that height.
    public struct Signed: Hashable, Sendable {
        /// The height, of which no other snapshot may be signed.
        public let height: UInt64
        /// The digest of the snapshot that was signed there.
        public let digest: Bytes32

        /// The signature for `digest` at `height`.
        public init(height: UInt64, digest: Bytes32) {
            self.height = height
            self.digest = digest
        }
    }

    /// The trusted snapshot, and the rule by which the next one is trusted.
    public private(set) var chain: SnapshotChain
    /// The snapshots and signatures that lead others to the trusted one.
    public private(set) var history: SnapshotHistory
    /// The next snapshot according to this node's registry, with its signatures.
    public private(set) var next: SnapshotSignatures?
    /// The signatures of the trusted snapshot; more are collected, because readers that slept for long need those of
    /// many nodes.
    public private(set) var last: SnapshotSignatures?
    /// The last signature of this node.
    public private(set) var signed: Signed?
    /// The update that led from `chain.earlier` to the trusted snapshot, to be kept on disk with these two; nil after a
    /// start.
    public private(set) var update: SnapshotUpdate?
    /// Why the kept update did not count, where the history on disk did not lead to the trusted snapshot.
    public private(set) var refusal: SnapshotRefusal?
    private var proposed: UnixTime?

    /// The key in the store of ``update``.
    public static let updateName = "snapshot update"

    /// Starts at the trusted snapshot of `chain`, with the `history` that leads there.
    ///
    /// Where there is no such history, it starts with the encoded `update` that was kept with the snapshot, and that is
    /// checked as one from another node. Without both it goes back to an earlier snapshot.
    public init(
        _ chain: SnapshotChain, history: SnapshotHistory? = nil, signed: Signed? = nil, update: [UInt8]? = nil,
        check: SignatureCheck = .ed25519
    ) {
        self.chain = chain
        self.signed = signed
        if let history, history.digest == chain.digest {
            self.history = history
            return
        }
        if var history, history.digest(at: chain.snapshot.height) == chain.digest {
            // The machine lost its power, and of the two files only this one has the last snapshots; they will be
            // requested again.
            history.goBack(to: SnapshotChain.Earlier(snapshot: chain.snapshot, digest: chain.digest))
            self.history = history
            return
        }
        if let update, chain.digest != chain.firstDigest {
            do throws(SnapshotRefusal) {
                self.history = try SnapshotHistory(history, to: chain, by: update, check: check)
                return
            } catch {
                refusal = error
            }
        }
        if let history, history.newest.height > chain.first.height,
            history.newest.height < chain.snapshot.height
        {
            // The missing snapshots will be requested.
            self.history = history
            self.chain.fallBack(to: history.newest, digest: history.digest)
        } else if chain.digest == chain.firstDigest {
            self.history = SnapshotHistory(first: chain.first, digest: chain.firstDigest)
        } else {
            // The signatures of the trusted snapshot are lost. If no other node has them, nobody can be led there, and
            // this node's vote would be missing for each snapshot that follows the one before.
            let base = chain.earlier ?? SnapshotChain.Earlier(snapshot: chain.first, digest: chain.firstDigest)
            self.history = SnapshotHistory(first: base.snapshot, digest: base.digest)
            self.chain.fallBack(to: base.snapshot, digest: base.digest)
        }
    }

    /// Starts as ``init(_:history:signed:update:check:)`` does, with `kept`, the last signature as ``encode(_:)`` wrote
    /// it.
    ///
    /// Throws if `kept` is damaged, because without it the node could sign another snapshot of that height. The signed
    /// snapshot is proposed again: if many nodes restart at once, these may be all the signatures of this epoch, and a
    /// registry may offer only later epochs.
    public init(
        _ chain: SnapshotChain, history: SnapshotHistory?, kept: [UInt8]?, update: [UInt8]? = nil, at now: UnixTime,
        check: SignatureCheck = .ed25519
    ) throws(WireError) {
        var signed: Signed?
        var again: Snapshot?
        if let kept {
            let found = try Self.signed(kept: kept)
            signed = found.signed
            again = found.snapshot
        }
        self.init(chain, history: history, signed: signed, update: update, check: check)
        if let again { _ = propose(again, at: now) }
    }

    /// The encoding of a signature for the disk: height u64, digest 32, signed snapshot without signatures.
    public static func encode(_ due: SnapshotSignatures) -> [UInt8] { encode(due.snapshot, digest: due.digest) }

    /// The same encoding for a snapshot with this digest.
    public static func encode(_ snapshot: Snapshot, digest: Bytes32) -> [UInt8] {
        var writer = ByteWriter()
        writer.u64(snapshot.height)
        writer.bytes32(digest)
        writer.raw(SignedSnapshot(snapshot).encoded())
        return writer.bytes
    }

    /// The key in the store of the last signature.
    public static let keptName = "signed snapshot"

    /// Reads the last signature from the output of ``encode(_:)``; throws if it is damaged.
    ///
    /// The snapshot is nil if it has another version of the format; the node must still not sign again at its height.
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

    /// The height above which a snapshot of the registry is new at `now`: that of the proposed one, if there is one.
    ///
    /// A proposed snapshot that is dated too far ahead of the clock does not count. It came from a clock that was ahead.
    public func height(at now: UnixTime) -> UInt64 {
        let held = next.flatMap { Self.isAhead($0.snapshot, at: now) ? nil : $0.snapshot.height }
        return max(chain.highWaterMark.height, held ?? 0)
    }

    /// Whether `snapshot` is dated more than the tolerance ahead of the clock.
    private static func isAhead(_ snapshot: Snapshot, at now: UnixTime) -> Bool {
        snapshot.time.seconds > now.seconds && snapshot.time.seconds - now.seconds > SnapshotChain.clockTolerance
    }

    /// Proposes the registry's snapshot for a coming height; returns whether there is something new to sign.
    ///
    /// Ignores a snapshot whose height is not above the greatest accepted one and the proposed one. One that is dated
    /// too far ahead gives way to a lower one that is not.
    public mutating func propose(_ registry: Snapshot, at now: UnixTime) -> Bool {
        let isHigher = registry.height > next?.snapshot.height ?? 0
        guard isHigher || registry.height > height(at: now) && !Self.isAhead(registry, at: now) else { return false }
        return propose(registry, since: now)
    }

    private mutating func propose(_ registry: Snapshot, since time: UnixTime) -> Bool {
        guard registry.network == snapshot.network, registry.height > chain.highWaterMark.height,
            registry.stakedCount > 0, registry.time >= snapshot.time
        else { return false }
        next = SnapshotSignatures(registry.following(chain.digest), voters: snapshot.voters)
        proposed = time
        return true
    }

    /// The snapshot that this node must sign now; nil if it has no vote, or has signed at that height before.
    ///
    /// Nothing is signed that is dated more than the tolerance ahead of the clock: after the signature, the node has no
    /// vote at lower heights.
    ///
    /// A node that may have missed a snapshot waits a quarter of an epoch, because its signature also names the
    /// previous snapshot.
    public func due(_ node: NodeID, epoch: UInt64, at now: UnixTime) -> SnapshotSignatures? {
        guard let next, let proposed, let place = next.place(of: node), !next.holds(place),
            !Self.isAhead(next.snapshot, at: now)
        else { return nil }
        if let signed {
            guard signed.height < next.snapshot.height || signed.digest == next.digest else { return nil }
        }
        let gap = next.snapshot.time.seconds - min(next.snapshot.time.seconds, snapshot.time.seconds)
        if gap > epoch + epoch / 2, snapshot.height > chain.first.height {
            guard now.seconds >= proposed.seconds + epoch / 4 else { return nil }
        }
        return next
    }

    /// Signs the due snapshot with `sign`, which makes 64 bytes; returns the item to send.
    ///
    /// `keep` first writes the signature's record to disk. If it throws, nothing is signed: otherwise the node could
    /// sign another snapshot of that height after a restart.
    public mutating func sign<Failure: Error>(
        as node: NodeID, keeping keep: (SnapshotSignatures) throws(Failure) -> Void, by sign: ([UInt8]) -> [UInt8]
    ) throws(Failure) -> SnapshotSignatures.Item? {
        guard let next, let place = next.place(of: node) else { return nil }
        try keep(next)
        signed = Signed(height: next.snapshot.height, digest: next.digest)
        return SnapshotSignatures.Item(place: place, bytes: sign(next.message))
    }

    /// Signs the due snapshot without a record on disk; for nodes without a disk.
    public mutating func sign(as node: NodeID, by sign: ([UInt8]) -> [UInt8]) -> SnapshotSignatures.Item? {
        self.sign(as: node, keeping: { _ in }, by: sign)
    }

    // MARK: Others' signatures

    /// The collected signatures for the snapshot with `digest`; nil unless it is the next one or the trusted one.
    public func collection(_ digest: Bytes32) -> SnapshotSignatures? {
        if next?.digest == digest { return next }
        return last?.digest == digest ? last : nil
    }

    /// Adds checked signatures for the snapshot with `digest`; returns the new ones, and whether they make it trusted.
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
        update = chain.earlier.flatMap { history.update(from: $0.snapshot, by: next) }
        last = next
        self.next = nil
        proposed = nil
        return true
    }

    // MARK: Updates

    /// Continues with the result of an accepted update; `accepted` is this chain after it.
    ///
    /// Does nothing and returns false if the trusted snapshot is as new already.
    public mutating func take(_ update: SnapshotUpdate, accepted: SnapshotChain) -> Bool {
        guard accepted.snapshot.height > snapshot.height else { return false }
        let first = SnapshotChain.Earlier(snapshot: chain.first, digest: chain.firstDigest)
        history.absorb(update, from: [chain.earlier, first].compactMap { $0 })
        if history.digest != accepted.digest {
            // The history does not lead there, so a new one begins.
            history = SnapshotHistory(first: accepted.snapshot, digest: accepted.digest, limits: history.limits)
        }
        chain = accepted
        self.update = update
        restart()
        return true
    }

    private mutating func restart() {
        let (held, since) = (next, proposed)
        next = nil
        last = nil
        proposed = nil
        // Earlier signatures name another previous snapshot, so they no longer count.
        if let held, let since { _ = propose(held.snapshot, since: since) }
    }
}

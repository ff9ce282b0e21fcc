public import Wire

/// Why a snapshot was not accepted.
public enum SnapshotRefusal: Error, Equatable {
    /// The bytes are not a signed snapshot.
    case malformed(WireError)
    /// It belongs to another network.
    case otherNetwork
    /// Its height is below the greatest accepted one, `held`.
    case rolledBack(held: UInt64)
    /// It has the greatest accepted height and another digest: nodes signed two snapshots of that height.
    case conflicting
    /// Its time is more than the tolerance ahead of the clock.
    case fromTheFuture
    /// Its time is before that of a snapshot before it.
    case timeWentBack
    /// It has no staked node.
    case empty
    /// Too few nodes of the trusted snapshot have signed it: `signatures` of the `needed` ones.
    case tooFewSignatures(signatures: Int, needed: Int)
    /// A signature of a trusted node is wrong.
    case badSignature(NodeID)
    /// It begins at another snapshot than the one in question, or at one that is not known here.
    case unknownBase
    /// It begins at a snapshot so old that its nodes' keys prove nothing; a newer network file is needed.
    case baseTooOld
    /// Its parts contradict each other.
    case broken
}

/// The trusted snapshot, and the rule by which a newer one replaces it (protocol.md, section 10.4).
///
/// A new snapshot needs the signatures of more than two thirds of the trusted snapshot's staked nodes. So a node that
/// serves it can withhold snapshots but not invent nodes. A check verifies one signature of each trusted node that is
/// needed (60 µs each), in large networks on a worker thread. The first wrong signature ends it.
public struct SnapshotChain: Sendable {
    /// The maximum time in seconds by which a snapshot's time may be ahead of the clock.
    public static let clockTolerance: UInt64 = 600
    /// The time in seconds for which signatures of a snapshot's nodes lead to newer snapshots.
    ///
    /// Operators may sell keys that have long been worthless, and two thirds of them could sign a false network.
    public static let trustLifetime: UInt64 = 30 * 86_400

    /// The greatest accepted snapshot, kept on disk across restarts: no lower one is accepted.
    public struct HighWaterMark: Hashable, Sendable {
        /// The greatest accepted height.
        public let height: UInt64
        /// The digest of the snapshot at that height.
        public let digest: Bytes32

        /// The mark of an accepted snapshot.
        public init(height: UInt64, digest: Bytes32) {
            self.height = height
            self.digest = digest
        }
    }

    /// A snapshot that was trusted before, with its digest.
    public struct Earlier: Sendable {
        /// The snapshot.
        public let snapshot: Snapshot
        /// The digest that names it (`Snapshot.digest`).
        public let digest: Bytes32

        /// Reads the output of ``encoded()``; nil if it is damaged or of another version.
        public init?(kept: [UInt8]) {
            guard let found = try? SnapshotSigning.signed(kept: kept), let snapshot = found.snapshot else { return nil }
            self.init(snapshot: snapshot, digest: found.signed.digest)
        }

        init(snapshot: Snapshot, digest: Bytes32) {
            self.snapshot = snapshot
            self.digest = digest
        }

        /// Its key in the store.
        public static let keptName = "earlier snapshot"

        /// The encoding for the disk, in the form of ``SnapshotSigning/encode(_:digest:)``.
        public func encoded() -> [UInt8] { SnapshotSigning.encode(snapshot, digest: digest) }
    }

    /// The trusted snapshot; without signatures if it came in an update.
    public private(set) var trusted: SignedSnapshot
    /// The trusted snapshot's digest.
    public private(set) var digest: Bytes32
    /// The network file's snapshot, on which all trust is based.
    public let first: Snapshot
    /// The digest of the network file's snapshot.
    public let firstDigest: Bytes32
    /// The maximum age in seconds of a snapshot whose nodes' signatures count; 0: no maximum, for a registry that never
    /// changes.
    public var longestTrust: UInt64 = 0
    /// The snapshot that led to the trusted one, or the one from which a restart has gone back to the trusted one; an
    /// update may begin there too.
    ///
    /// The trusted snapshot may lead nowhere: it had enough signatures, but too few nodes had seen them when its epoch
    /// ended, and the next snapshot followed the one before it.
    public private(set) var earlier: Earlier?
    /// The greatest accepted snapshot; above the trusted one only if the snapshot on disk was lost.
    public private(set) var highWaterMark: HighWaterMark

    /// Starts from the network file's snapshot, or from the one on disk if that is newer.
    ///
    /// The network file's snapshot is trusted because the user trusts the file. More than two thirds of its own nodes
    /// must still have signed it, which detects a damaged file. `kept` was accepted before it was stored: it counts if
    /// `mark` names it. With a mark but without its snapshot, nothing below the mark is accepted. `earlier` was stored
    /// with `kept`.
    public init(
        network: Bytes32, first: SignedSnapshot, kept: SignedSnapshot? = nil, mark: HighWaterMark? = nil,
        earlier: Earlier? = nil, check: SignatureCheck = .ed25519
    ) throws(SnapshotRefusal) {
        guard first.snapshot.network == network else { throw .otherNetwork }
        let firstDigest = first.snapshot.digest
        try Self.checkSignatures(of: first, by: first.snapshot, digest: firstDigest, check)
        self.first = first.snapshot
        self.firstDigest = firstDigest
        trusted = first
        digest = firstDigest
        if let kept, let mark, kept.snapshot.network == network, kept.snapshot.height == mark.height,
            kept.snapshot.height > first.snapshot.height, kept.snapshot.digest == mark.digest
        {
            trusted = kept
            digest = mark.digest
            if let earlier, earlier.snapshot.network == network, earlier.snapshot.height < kept.snapshot.height {
                self.earlier = earlier
            }
        }
        let own = HighWaterMark(height: trusted.snapshot.height, digest: digest)
        highWaterMark = if let mark, mark.height >= own.height { mark } else { own }
        guard highWaterMark.height > own.height || highWaterMark.digest == own.digest else { throw .conflicting }
    }

    /// The trusted snapshot.
    public var snapshot: Snapshot { trusted.snapshot }

    /// Whether the trusted snapshot is older than `maximumAge` seconds; never if that is 0.
    public func isStale(at now: UnixTime, maximumAge: UInt64) -> Bool {
        Self.isStale(snapshot, at: now, maximumAge: maximumAge)
    }

    private static func isStale(_ snapshot: Snapshot, at now: UnixTime, maximumAge: UInt64) -> Bool {
        maximumAge > 0 && now.seconds > snapshot.time.seconds && now.seconds - snapshot.time.seconds > maximumAge
    }

    /// The number of signatures by staked nodes of `snapshot` that are more than two thirds.
    public static func quorum(of snapshot: Snapshot) -> Int { quorum(of: snapshot.stakedCount) }

    /// The smallest number above two thirds of `count`.
    public static func quorum(of count: Int) -> Int { count * 2 / 3 + 1 }

    /// Trusts `candidate` if it follows the rule; returns whether it is new.
    ///
    /// The trusted snapshot again, with any signatures, changes nothing and is not an error. A throw leaves the chain
    /// unchanged.
    public mutating func accept(_ candidate: SignedSnapshot, at now: UnixTime) throws(SnapshotRefusal) -> Bool {
        let next = candidate.snapshot
        let nextDigest = next.digest
        guard try isNews(next, digest: nextDigest, at: now) else { return false }
        guard !isStale(at: now, maximumAge: longestTrust) else { throw .baseTooOld }
        try Self.checkSignatures(of: candidate, by: snapshot, digest: nextDigest, .ed25519)
        take(candidate, digest: nextDigest)
        return true
    }

    /// Trusts the newest snapshot of `update` if the update leads there by the rule; returns whether it is new.
    ///
    /// The update begins at the trusted snapshot, at the one before it, or at the network file's. A throw leaves the
    /// chain unchanged.
    public mutating func accept(
        _ update: SnapshotUpdate, at now: UnixTime, check: SignatureCheck = .ed25519
    ) throws(SnapshotRefusal) -> Bool {
        let followed = try follow(update)
        guard try isNews(followed.newest, digest: followed.digest, at: now) else { return false }
        let base = base(of: update)
        guard !Self.isStale(base.snapshot, at: now, maximumAge: longestTrust) else { throw .baseTooOld }
        _ = try followed.signers(check)
        take(SignedSnapshot(followed.newest), digest: followed.digest, from: base)
        return true
    }

    func follow(_ update: SnapshotUpdate) throws(SnapshotRefusal) -> FollowedUpdate {
        let base = base(of: update)
        return try FollowedUpdate(update, from: base.snapshot, digest: base.digest)
    }

    private func base(of update: SnapshotUpdate) -> Earlier {
        if update.base == snapshot.height { return Earlier(snapshot: snapshot, digest: digest) }
        if let earlier, update.base == earlier.snapshot.height { return earlier }
        return Earlier(snapshot: first, digest: firstDigest)
    }

    /// Trusts a snapshot whose signatures were checked separately.
    mutating func accept(
        checked next: Snapshot, digest nextDigest: Bytes32, at now: UnixTime
    ) throws(SnapshotRefusal) -> Bool {
        guard try isNews(next, digest: nextDigest, at: now) else { return false }
        take(SignedSnapshot(next), digest: nextDigest)
        return true
    }

    /// Returns to a snapshot before the trusted one; the mark stays.
    ///
    /// That snapshot may be one that led nowhere, so the one before it is still needed. If that one is not known, an
    /// update may begin at the snapshot that was trusted until now.
    mutating func fallBack(to kept: Snapshot, digest keptDigest: Bytes32) {
        let before = Earlier(snapshot: snapshot, digest: digest)
        trusted = SignedSnapshot(kept)
        digest = keptDigest
        if earlier.map({ $0.snapshot.height >= kept.height }) ?? true { earlier = before }
    }

    private mutating func take(_ next: SignedSnapshot, digest nextDigest: Bytes32, from base: Earlier? = nil) {
        earlier = base ?? Earlier(snapshot: snapshot, digest: digest)
        trusted = next
        digest = nextDigest
        highWaterMark = HighWaterMark(height: next.snapshot.height, digest: nextDigest)
    }

    /// Whether `next` could follow the trusted snapshot if enough nodes have signed it; false if it is the trusted one.
    private func isNews(
        _ next: Snapshot, digest nextDigest: Bytes32, at now: UnixTime
    ) throws(SnapshotRefusal) -> Bool {
        guard next.network == snapshot.network else { throw .otherNetwork }
        guard next.height >= highWaterMark.height else { throw .rolledBack(held: highWaterMark.height) }
        if next.height == highWaterMark.height {
            guard nextDigest == highWaterMark.digest else { throw .conflicting }
            if next.height == snapshot.height { return false }
        }
        let latest = now.seconds.addingReportingOverflow(Self.clockTolerance)
        guard latest.overflow || next.time.seconds <= latest.partialValue else { throw .fromTheFuture }
        guard next.time >= snapshot.time else { throw .timeWentBack }
        guard next.stakedCount > 0 else { throw .empty }
        return true
    }

    /// Reads a signed snapshot and accepts it by the same rule; throws `malformed` if the bytes are not one.
    public mutating func accept(_ bytes: RawSpan, at now: UnixTime) throws(SnapshotRefusal) -> Bool {
        let candidate: SignedSnapshot
        do {
            candidate = try SignedSnapshot(decoding: bytes)
        } catch {
            throw .malformed(error)
        }
        return try accept(candidate, at: now)
    }

    /// Throws unless more than two thirds of the staked nodes of `voters` have signed.
    ///
    /// Signatures by other nodes do not count and are not verified. The number is checked before any signature.
    private static func checkSignatures(
        of candidate: SignedSnapshot, by voters: Snapshot, digest: Bytes32, _ check: SignatureCheck
    ) throws(SnapshotRefusal) {
        let needed = quorum(of: voters)
        let counted = candidate.signatures.filter { voters.isStaked($0.signer) }
        guard counted.count >= needed else { throw .tooFewSignatures(signatures: counted.count, needed: needed) }
        let message = Snapshot.message(
            digest: digest, network: candidate.snapshot.network, height: candidate.snapshot.height)
        for signature in counted.prefix(needed) {
            guard check.isGood(signature.bytes, message, signature.signer) else {
                throw .badSignature(signature.signer)
            }
        }
    }
}

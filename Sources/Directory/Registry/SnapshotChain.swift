public import Wire

/// Why a snapshot was not accepted.
public enum SnapshotRefusal: Error, Equatable {
    /// The bytes are not a signed snapshot.
    case malformed(WireError)
    /// It belongs to another network.
    case otherNetwork
    /// Its height is below `held`, which was accepted before.
    case rolledBack(held: UInt64)
    /// It has the height of the held one and another digest: somebody signed two.
    case conflicting
    /// Its time is after now and the tolerance.
    case fromTheFuture
    /// Its time is before that of the held one.
    case timeWentBack
    /// It has no staked node.
    case empty
    /// Too few of the nodes of the trusted snapshot signed: `signatures` of `needed`.
    case tooFewSignatures(signatures: Int, needed: Int)
    /// A signature of a trusted node is wrong.
    case badSignature(NodeID)
    /// It begins at a snapshot that is not the trusted one.
    case unknownBase
    /// It begins at a snapshot so old that its nodes' keys prove nothing any more: a newer network file is needed.
    case baseTooOld
    /// Its parts do not fit together.
    case broken
}

/// The snapshot that is trusted now, and the rule by which a newer one takes its place (protocol.md, section 10.4).
///
/// A new snapshot needs the signatures of more than two thirds of the staked nodes of the snapshot that is trusted, so
/// whoever serves it can withhold news but not invent nodes. Checking takes one signature verification per trusted node
/// (60 µs each), for large networks on a worker thread; the first wrong signature ends it.
public struct SnapshotChain: Sendable {
    /// How far a snapshot's time may lie in the future.
    public static let clockTolerance: UInt64 = 600
    /// For how long the signatures of a snapshot's nodes lead to newer ones, in seconds.
    ///
    /// Keys that have been worth nothing for long may be sold, and two thirds of them would make a false network.
    public static let trustLifetime: UInt64 = 30 * 86_400

    /// What must never be gone back behind: to be kept on disk across restarts.
    public struct HighWaterMark: Hashable, Sendable {
        /// The greatest height that was accepted.
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
        /// Its digest.
        public let digest: Bytes32

        /// Reads what ``encoded()`` wrote; nil if that is damaged or of another version.
        public init?(kept: [UInt8]) {
            guard let found = try? SnapshotSigning.signed(kept: kept), let snapshot = found.snapshot else { return nil }
            self.init(snapshot: snapshot, digest: found.signed.digest)
        }

        init(snapshot: Snapshot, digest: Bytes32) {
            self.snapshot = snapshot
            self.digest = digest
        }

        /// The name by which the store keeps it.
        public static let keptName = "earlier snapshot"

        /// What is to be kept on disk of it, in the form of ``SnapshotSigning/encode(_:digest:)``.
        public func encoded() -> [UInt8] { SnapshotSigning.encode(snapshot, digest: digest) }
    }

    /// What is trusted; without signatures where they came in an update.
    public private(set) var trusted: SignedSnapshot
    /// The digest of what is trusted.
    public private(set) var digest: Bytes32
    /// The network file's snapshot, from which all trust comes.
    public let first: Snapshot
    /// The digest of the network file's snapshot.
    public let firstDigest: Bytes32
    /// How old a snapshot may be whose nodes' signatures are relied on, in seconds; 0: of any age, as with a registry that never
    /// changes.
    public var longestTrust: UInt64 = 0
    /// The snapshot that led to the trusted one: an update may begin there too.
    ///
    /// The trusted snapshot may be one that led nowhere: it had enough signatures, but too few nodes had seen them when its
    /// epoch ended, and the next snapshot followed the one before.
    public private(set) var earlier: Earlier?
    /// The greatest height that was ever accepted; above what is trusted only when the snapshot on disk was lost.
    public private(set) var highWaterMark: HighWaterMark

    /// Starts from the network file's snapshot, or from the one kept on disk where that is newer.
    ///
    /// The network file's is trusted because the user trusts the file; still more than two thirds of its own nodes must
    /// have signed it, which finds a damaged file. `kept` was accepted before it was written: it counts if it is the one
    /// that `mark` names. With a mark and no snapshot that fits it, nothing below the mark will be accepted. `earlier` was kept
    /// beside it.
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

    /// The nodes that are trusted now.
    public var snapshot: Snapshot { trusted.snapshot }

    /// Whether the trusted snapshot is older than `maximumAge` seconds; 0 means that it never is.
    public func isStale(at now: UnixTime, maximumAge: UInt64) -> Bool {
        Self.isStale(snapshot, at: now, maximumAge: maximumAge)
    }

    private static func isStale(_ snapshot: Snapshot, at now: UnixTime, maximumAge: UInt64) -> Bool {
        maximumAge > 0 && now.seconds > snapshot.time.seconds && now.seconds - snapshot.time.seconds > maximumAge
    }

    /// How many signatures of the staked nodes of `snapshot` are more than two thirds.
    public static func quorum(of snapshot: Snapshot) -> Int { quorum(of: snapshot.stakedCount) }

    /// How many of `count` are more than two thirds.
    public static func quorum(of count: Int) -> Int { count * 2 / 3 + 1 }

    /// Trusts `candidate` from now on if it follows the rule, and says whether it is a new one.
    ///
    /// The same snapshot again, with whatever signatures, is no error and changes nothing. After a throw nothing has changed.
    public mutating func accept(_ candidate: SignedSnapshot, at now: UnixTime) throws(SnapshotRefusal) -> Bool {
        let next = candidate.snapshot
        let nextDigest = next.digest
        guard try isNews(next, digest: nextDigest, at: now) else { return false }
        guard !isStale(at: now, maximumAge: longestTrust) else { throw .baseTooOld }
        try Self.checkSignatures(of: candidate, by: snapshot, digest: nextDigest, .ed25519)
        take(candidate, digest: nextDigest)
        return true
    }

    /// Trusts the newest snapshot of `update` from now on if the update leads there by the rule, and says whether it is a new one.
    ///
    /// The update begins at the trusted snapshot, at the one before it, or at the network file's. After a throw nothing has
    /// changed.
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

    /// Trusts a snapshot whose signatures were checked one by one.
    mutating func accept(
        checked next: Snapshot, digest nextDigest: Bytes32, at now: UnixTime
    ) throws(SnapshotRefusal) -> Bool {
        guard try isNews(next, digest: nextDigest, at: now) else { return false }
        take(SignedSnapshot(next), digest: nextDigest)
        return true
    }

    /// Goes back to what a kept history leads to, when that was written before the snapshot was; the mark stays.
    ///
    /// That may be the one that led nowhere: what came before it is still needed then.
    mutating func fallBack(to kept: Snapshot, digest keptDigest: Bytes32) {
        trusted = SignedSnapshot(kept)
        digest = keptDigest
        if let earlier, earlier.snapshot.height >= kept.height { self.earlier = nil }
    }

    private mutating func take(_ next: SignedSnapshot, digest nextDigest: Bytes32, from base: Earlier? = nil) {
        earlier = base ?? Earlier(snapshot: snapshot, digest: digest)
        trusted = next
        digest = nextDigest
        highWaterMark = HighWaterMark(height: next.snapshot.height, digest: nextDigest)
    }

    /// Whether `next` could follow what is trusted, if enough have signed it; false for what is trusted already.
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

    /// The same for a snapshot as it came from the network.
    public mutating func accept(_ bytes: RawSpan, at now: UnixTime) throws(SnapshotRefusal) -> Bool {
        let candidate: SignedSnapshot
        do {
            candidate = try SignedSnapshot(decoding: bytes)
        } catch {
            throw .malformed(error)
        }
        return try accept(candidate, at: now)
    }

    /// Throws unless more than two thirds of the staked nodes of `voters` signed.
    ///
    /// Signatures of others count nothing and are not looked at; the count is checked before any is verified.
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

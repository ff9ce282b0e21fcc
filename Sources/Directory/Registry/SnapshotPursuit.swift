public import Wire

/// A state that follows the snapshots of a network by updates of other nodes.
public protocol SnapshotFollowing: Sendable {
    /// The rule by which a snapshot is trusted, and the trusted one.
    var chain: SnapshotChain { get }

    /// Follows `update`; false if it leads to nothing newer, and throws if it is refused. It costs many signatures.
    mutating func follow(
        _ update: SnapshotUpdate, at now: UnixTime, check: SignatureCheck
    ) throws(SnapshotRefusal) -> Bool

    /// Whether only the trusted snapshot can have changed since `earlier`; if not, a result for `earlier` must be
    /// computed anew.
    func stands(as earlier: Self) -> Bool
}

extension SnapshotChain: SnapshotFollowing {
    /// The chain itself.
    public var chain: SnapshotChain { self }

    /// Trusts the newest snapshot of `update`, if the update leads there.
    public mutating func follow(
        _ update: SnapshotUpdate, at now: UnixTime, check: SignatureCheck
    ) throws(SnapshotRefusal) -> Bool {
        try accept(update, at: now, check: check)
    }

    /// A chain has nothing but its snapshots.
    public func stands(as earlier: SnapshotChain) -> Bool { true }
}

extension SnapshotSigning: SnapshotFollowing {
    /// Trusts the newest snapshot of `update`, if the update leads there, and collects signatures for the next one.
    public mutating func follow(
        _ update: SnapshotUpdate, at now: UnixTime, check: SignatureCheck
    ) throws(SnapshotRefusal) -> Bool {
        var accepted = chain
        guard try accepted.accept(update, at: now, check: check) else { return false }
        return take(update, accepted: accepted)
    }

    /// Whether nothing was signed since `earlier`: without its signature, the node could sign another snapshot of that
    /// height.
    public func stands(as earlier: SnapshotSigning) -> Bool { signed == earlier.signed }
}

/// The place in a network's snapshots from which an update is requested, the content of GET_SNAPSHOT.
public struct SnapshotPlace: Equatable, Sendable {
    /// The height of the snapshot.
    public let height: UInt64
    /// The digest of the snapshot.
    public let digest: Bytes32

    /// Which of a chain's snapshots it is.
    public enum Base: Sendable {
        /// The trusted one.
        case trusted
        /// The one that led to it, or after a fallback the one that was trusted before (`SnapshotChain.earlier`).
        case earlier
        /// The network file's.
        case first
    }

    /// The snapshot `base` of `chain`; nil if there is none.
    public init?(_ chain: SnapshotChain, at base: Base) {
        switch base {
        case .trusted: (height, digest) = (chain.snapshot.height, chain.digest)
        case .earlier:
            guard let earlier = chain.earlier else { return nil }
            (height, digest) = (earlier.snapshot.height, earlier.digest)
        case .first:
            guard chain.first.height < chain.snapshot.height else { return nil }
            (height, digest) = (chain.first.height, chain.firstDigest)
        }
    }

    /// The trusted snapshot of `chain`.
    public init(_ chain: SnapshotChain) {
        (height, digest) = (chain.snapshot.height, chain.digest)
    }

    /// The body of the request.
    public var body: [UInt8] {
        var writer = ByteWriter(capacity: 40)
        writer.u64(height)
        writer.bytes32(digest)
        return writer.bytes
    }
}

/// One answer to GET_SNAPSHOT on its way to the state that asked.
///
/// It is checked on another thread, and taken over only if the state is still the one that it was checked for.
public struct SnapshotPursuit<State: SnapshotFollowing>: Sendable {
    /// The result of the check, for the state that asked.
    public typealias Finding = Result<State?, SnapshotRefusal>

    /// What to do with a finding.
    public enum Step: Sendable {
        /// The state to continue with; its trusted snapshot is newer.
        case advanced(State)
        /// The answer brings nothing newer.
        case nothing
        /// Another answer has advanced the state meanwhile, perhaps not as far.
        case overtaken
        /// The same answer must be checked for the present state.
        case repeated
        /// The answer is refused.
        case refused(SnapshotRefusal)
    }

    private let before: State
    private let asked: SnapshotPlace
    private let body: [UInt8]
    private let time: UnixTime
    private let check: SignatureCheck

    /// The answer `body` to the question `asked`, for `state`; nil if it is empty: the other node has nothing newer.
    public init?(
        _ body: [UInt8], to asked: SnapshotPlace, for state: State, at now: UnixTime, check: SignatureCheck = .ed25519
    ) {
        guard !body.isEmpty else { return nil }
        self.asked = asked
        self.check = check
        self.body = body
        before = state
        time = now
    }

    /// Reads and checks the answer.
    ///
    /// An update that begins at another snapshot than the one in question is refused: nobody asked for it.
    public func finding() -> Finding {
        let update: SnapshotUpdate
        do throws(WireError) {
            update = try SnapshotUpdate(decoding: body.rawSpan)
        } catch {
            return .failure(.malformed(error))
        }
        guard update.base == asked.height else { return .failure(.unknownBase) }
        do throws(SnapshotRefusal) {
            var after = before
            return .success(try after.follow(update, at: time, check: check) ? after : nil)
        } catch {
            return .failure(error)
        }
    }

    /// What to do with `finding`, now that the state is `present`.
    public func step(_ finding: Finding, present: State) -> Step {
        guard present.chain.digest == before.chain.digest else { return .overtaken }
        switch finding {
        case .success(nil): return .nothing
        case .success(let after?): return present.stands(as: before) ? .advanced(after) : .repeated
        case .failure(let refusal): return .refused(refusal)
        }
    }
}

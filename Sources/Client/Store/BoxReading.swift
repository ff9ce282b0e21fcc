public import OnionCrypto
internal import Requests
public import Swarm
public import Wire

/// The key of a box, by which its owner reads and deletes.
///
/// `@unchecked Sendable`: the key never changes, and signing only reads it.
public final class BoxKey: @unchecked Sendable {
    let key: SigningKey

    /// Takes the Ed25519 key whose public half names the box.
    public init(_ key: consuming SigningKey) { self.key = key }

    /// The public half, which names the box.
    public var box: Bytes32 { key.publicKey }

    /// The right to read the box in the request of `binding`.
    func read(log: UInt64, after: UInt64 = 0, binding: Bytes32, network: Bytes32) -> BoxRead {
        BoxRead(
            box, log: log, after: after,
            signature: key.sign(BoxRead.message(box: box, binding: binding, network: network).rawSpan))
    }
}

/// A place in one replica's numbering of a box.
public struct BoxPlace: Hashable, Sendable {
    /// The replica.
    public let replica: NodeID
    /// The number of the replica's log: offsets count only within one log.
    public let log: UInt64
    /// The offset up to which entries were seen.
    public let after: UInt64

    /// A place; log and offset 0 for the beginning.
    public init(replica: NodeID, log: UInt64, after: UInt64) {
        self.replica = replica
        self.log = log
        self.after = after
    }
}

/// A part of a box as one replica shows it.
public struct BoxPage: Sendable {
    /// An entry of the box.
    public typealias Entry = StoreAnswer.Listing.Entry

    /// The replica.
    public let replica: NodeID
    /// The entries, and the id of the replica's log.
    public let listing: StoreAnswer.Listing
    /// The offset after which the page begins.
    public let start: UInt64
    /// The binding of the request, which keys the short ids.
    let binding: Bytes32

    /// What a replica shows behind `place`; nil if it does not go on there, so that it could show the same for ever.
    init?(_ listing: StoreAnswer.Listing, of replica: NodeID, from place: BoxPlace?, binding: Bytes32) {
        let start = place?.log == listing.log ? place?.after ?? 0 : 0
        let isBehind = listing.entries.first.map { $0.offset > start }
        guard isBehind ?? !listing.hasMore else { return nil }
        (self.replica, self.listing, self.start, self.binding) = (replica, listing, start, binding)
    }

    /// The place from which to ask for the next page; nil after the last one.
    ///
    /// `place` is where this page was asked for. The result is nil too if the replica's log has changed since: its
    /// offsets do not count any more.
    public func next(after place: BoxPlace?) -> BoxPlace? {
        let isSame = place == nil || place?.log == 0 || place?.log == listing.log
        return listing.hasMore && isSame ? end : nil
    }

    /// Where this part ends.
    public var end: BoxPlace {
        BoxPlace(replica: replica, log: listing.log, after: listing.entries.last?.offset ?? start)
    }

    /// The entry of an id; nil if the part does not have it.
    public func entry(of id: ItemID) -> Entry? {
        let short = ShortID.of(id, binding: binding)
        return listing.entries.first { $0.shortID == short }
    }
}

/// What became of a deletion.
public struct DeletionResult: Hashable, Sendable {
    /// How many of the ids are deleted, and how many replicas have that on their disks.
    public let deleted: UInt8, replicas: UInt8
}

extension Client {
    /// Lists entries of a box at one replica: the one of `place`, from there on, or any.
    ///
    /// Replicas may differ for minutes, and one may hide entries. `done` is called once, at the latest 10 s later, and
    /// perhaps inside this call.
    public func list(
        _ key: BoxKey, _ kinds: ItemKinds = .all, from place: BoxPlace? = nil, isolation: UInt64 = 0,
        done: @escaping (Result<BoxPage, StoreFailure>) -> Void
    ) {
        guard sessions.readiness.isReady else { return done(.failure(.noPath)) }
        swarm.list(key, kinds, from: place, isolation: isolation, done: done)
    }

    /// Fetches entries of a page from its replica: at most 16 in one call, and as many as fit into an answer.
    ///
    /// What `done` gets has the right id. Whether its author may write into the box is for the caller to see.
    public func fetch(
        _ key: BoxKey, _ entries: [BoxPage.Entry], of page: BoxPage, isolation: UInt64 = 0,
        done: @escaping (Result<[StoredItem], StoreFailure>) -> Void
    ) {
        guard sessions.readiness.isReady else { return done(.failure(.noPath)) }
        swarm.fetch(key, entries, of: page, isolation: isolation, done: done)
    }

    /// Deletes items of a box, 1 to 64; an item that the asked replica does not hold is not counted.
    public func delete(
        _ deletions: [StoreRequest.Deletion], in box: Bytes32, isolation: UInt64 = 0,
        done: @escaping (Result<DeletionResult, StoreFailure>) -> Void
    ) {
        guard sessions.readiness.isReady else { return done(.failure(.noPath)) }
        swarm.delete(deletions, in: box, isolation: isolation, done: done)
    }

    /// The replicas of a box by the trusted snapshot, in their order; nil if the network has no store.
    public func replicas(of box: Bytes32) -> BoxSwarm? { swarm.swarm(of: box) }
}

extension SwarmCalls {
    /// How the judge of a call takes an answer that is no result.
    private final class Refusal {
        var value: StoreRefusal?
        func failure(_ outcome: RequestClient.Outcome?) -> StoreFailure {
            value.map { .refused($0) } ?? StoreFailure(outcome)
        }
    }

    func list(
        _ key: BoxKey, _ kinds: ItemKinds, from place: BoxPlace?, isolation: UInt64,
        done: @escaping (Result<BoxPage, StoreFailure>) -> Void
    ) {
        guard let swarm = swarm(of: key.box) else { return done(.failure(.noStore)) }
        let (network, refusal) = (network, Refusal())
        begin(
            .list, in: swarm, of: place?.replica, isolation,
            arguments: { binding in
                let read = key.read(
                    log: place?.log ?? 0, after: place?.after ?? 0, binding: binding, network: network)
                return StoreRequest.list(read, kinds: kinds).arguments()
            },
            judge: { answer, replica, binding in
                switch try? StoreAnswer(decoding: answer.encoded().rawSpan, to: .list) {
                case .listed(let listing):
                    guard let page = BoxPage(listing, of: replica, from: place, binding: binding) else { break }
                    return { done(.success(page)) }
                case .refused(let reason): refusal.value = reason
                case .stored, .deleted, .items, nil: break
                }
                return nil
            }, fail: { done(.failure(refusal.failure($0))) })
    }

    func fetch(
        _ key: BoxKey, _ entries: [BoxPage.Entry], of page: BoxPage, isolation: UInt64,
        done: @escaping (Result<[StoredItem], StoreFailure>) -> Void
    ) {
        guard let swarm = swarm(of: key.box) else { return done(.failure(.noStore)) }
        let wanted = entries.prefix(SwarmLimits.fetchOffsets)
        guard !wanted.isEmpty else { return done(.success([])) }
        let (network, refusal) = (network, Refusal())
        begin(
            .fetch, in: swarm, of: page.replica, isolation,
            arguments: { binding in
                let read = key.read(log: page.listing.log, binding: binding, network: network)
                return StoreRequest.fetch(read, offsets: wanted.map(\.offset)).arguments()
            },
            judge: { answer, _, _ in
                switch try? StoreAnswer(decoding: answer.encoded().rawSpan, to: .fetch) {
                case .items(let bytes):
                    let shorts = Set(wanted.map(\.shortID))
                    let items = bytes.compactMap { try? StoredItem(decoding: $0.rawSpan, network: network) }.filter {
                        $0.header.box == key.box && shorts.contains(ShortID.of($0.id, binding: page.binding))
                    }
                    return { done(.success(items)) }
                case .refused(let reason): refusal.value = reason
                case .stored, .deleted, .listed, nil: break
                }
                return nil
            }, fail: { done(.failure(refusal.failure($0))) })
    }

    func delete(
        _ deletions: [StoreRequest.Deletion], in box: Bytes32, isolation: UInt64,
        done: @escaping (Result<DeletionResult, StoreFailure>) -> Void
    ) {
        guard let swarm = swarm(of: box) else { return done(.failure(.noStore)) }
        let request = StoreRequest.delete(box: box, deletions)
        let refusal = Refusal()
        var without = 0
        begin(
            .delete, in: swarm, isolation, arguments: { _ in request.arguments() },
            judge: { answer, _, _ in
                switch try? StoreAnswer(decoding: answer.encoded().rawSpan, to: .delete) {
                case .deleted(let count, let replicas):
                    // A replica that does not hold it yet: another one may.
                    if count == 0 { without += 1 }
                    guard count > 0 || without == LookupTally.emptyAnswers else { return nil }
                    return { done(.success(DeletionResult(deleted: count, replicas: replicas))) }
                case .refused(let reason): refusal.value = reason
                case .stored, .listed, .items, nil: break
                }
                return nil
            },
            fail: { outcome in
                if outcome == nil, refusal.value == nil {
                    return done(.success(DeletionResult(deleted: 0, replicas: 0)))
                }
                done(.failure(refusal.failure(outcome)))
            })
    }
}

internal import OnionCrypto
internal import Store
internal import Swarm
internal import Wire

/// The node's replica of its shards, on another thread than the loop's; it takes events and returns actions for the
/// loop.
///
/// `@unchecked Sendable`: one job at a time uses it. `SwarmService` begins the next job only when the last one has
/// completed.
final class SwarmWorker: @unchecked Sendable {
    typealias NodeReplica = Replica<AnyStorage>
    typealias Action = NodeReplica.Action

    /// An event for the replica.
    enum Event: Sendable {
        /// A newer snapshot, whose map is still to be computed.
        case follow(Snapshot)
        /// A client's request that the node `via` brought; its arguments are not read yet.
        case asked(UInt64, via: NodeID, method: UInt8, arguments: [UInt8], binding: Bytes32)
        /// A node's message.
        case message(UInt64, from: NodeID, SwarmMessage, [UInt8])
        /// The answer to a question, or nil after a failure.
        case answered(question: UInt64, [UInt8]?)
        /// The operator has new numbers.
        case apply(NodeReplica.Settings)
        case tick
    }

    /// What came of a batch of events.
    struct Outcome: Sendable {
        var actions: [Action] = []
        var state = State()
        /// Where a damaged file was moved in this batch.
        var setAside: String?
    }

    /// The replica's state for others.
    struct State: Equatable, Sendable {
        /// Whether the storage is checked, and requests are answered.
        var isOpen = false
        /// How many items of kind 1 are held, and how many there may be.
        var descriptors = 0
        var capacity = 1
        /// How many shards this node holds, and how many of them are complete.
        var shards = 0
        var complete = 0
        /// How many items and tombstones of the other kinds are held, their bytes, and how many bytes there may be.
        var entries = 0
        var bytes = 0
        var quota: UInt64 = 1
        /// What was done so far.
        var counts = ReplicaCounts()
        /// Why nothing can be written; nil if it can.
        var failure: StoreError?
        /// Whether clients wait, who may get an answer by time alone.
        var isAwaited = false

        /// The fill in sixteenths.
        var fill: UInt8 { UInt8(clamping: UInt64(clamping: bytes) / max(1, quota / 16)) }
        /// Whether copies of the longest item are refused, since the quota is used up.
        var isFull: Bool {
            UInt64(clamping: bytes + SwarmLimits.longestItem) > quota / 100 * UInt64(SwarmLimits.copyFill)
        }
    }

    private let network: Bytes32
    private let shards: Int
    private let swarmSize: Int
    private let key: SigningKey
    private var settings: NodeReplica.Settings
    /// The file; nil if the items are in memory.
    private var disk: SwarmStore?
    /// The replica; nil until the file has been checked.
    private var replica: NodeReplica?
    /// Ends the check when the node stops.
    private let interruption = Interruption()
    /// Why the file could not be checked, and when that was.
    private var checkFailure: (error: StoreError, time: UInt64)?
    /// The newest snapshot that came before there was a replica.
    private var early: Snapshot?

    /// The replica of the node with the key `key`, with the entries in `disk`, or without entries in memory.
    init(
        network: Bytes32, shards: Int, swarmSize: Int, key: consuming SigningKey, settings: NodeReplica.Settings,
        disk: SwarmStore?
    ) {
        self.network = network
        self.shards = shards
        self.swarmSize = swarmSize
        self.key = key
        self.settings = settings
        self.disk = disk
    }

    /// Handles events in their order; `now` is in milliseconds since 1970.
    func handle(_ events: [Event], now: UInt64) -> Outcome {
        var outcome = Outcome()
        if replica == nil { open(now, &outcome) }
        for case .apply(let new) in events { apply(new) }
        let known = events.compactMap { replicaEvent($0, &outcome.actions) }
        if replica != nil {
            outcome.actions += replica?.handle(known, now: now) ?? []
            if disk?.isDamaged ?? false { replace(&outcome) }
        }
        outcome.state = state
        return outcome
    }

    /// Ends a check of the file that is under way; any thread may call it.
    func interrupt() { interruption.set() }

    /// Closes the file, so that the next start need not check it.
    func end() { disk?.end() }

    /// The entry of an id, for tests.
    func entry(_ id: ItemID) -> StoredEntry? { replica?.storage.entry(id) }

    // MARK: The storage

    /// Checks the file, which may take minutes after an unclean exit, and makes the replica.
    private func open(_ now: UInt64, _ outcome: inout Outcome) {
        // A clock that was set back does not make the next attempt late.
        if let checkFailure, now >= checkFailure.time, now - checkFailure.time < 60_000 { return }
        checkFailure = nil
        do throws(StoreError) {
            if let disk {
                do throws(StoreError) { try disk.check(interruption) } catch {
                    // Also after an attempt to replace it that has failed.
                    guard disk.isDamaged else { throw error }
                    (self.disk, outcome.setAside) = try disk.replace()
                }
            }
        } catch {
            checkFailure = (error, now)
            return
        }
        replica = Replica(
            network: network, key: Self.copy(key), storage: storage,
            settings: settings, random: SecureRandom(), hasEndedCleanly: disk?.hasEndedCleanly ?? false, now: now)
        guard let early, let event = replicaEvent(.follow(early), &outcome.actions) else { return }
        outcome.actions += replica?.handle([event], now: now) ?? []
        self.early = nil
    }

    private static func copy(_ key: borrowing SigningKey) -> SigningKey {
        SigningKey(seed: Secret(copying: key.seedBytes))
    }

    private var storage: AnyStorage {
        if let disk { AnyStorage(disk) } else { AnyStorage(MemoryStorage(logSalt: SecureRandom.u64())) }
    }

    /// Begins anew with an empty file in place of one that turned out to be damaged; without success, the next batch
    /// tries again, and until then nothing can be written.
    private func replace(_ outcome: inout Outcome) {
        guard let new = try? disk?.replace() else { return }
        (disk, outcome.setAside) = (new.store, new.setAside)
        outcome.actions += replica?.replace(storage) ?? []
    }

    // MARK: Events

    private func apply(_ new: NodeReplica.Settings) {
        settings = new
        replica?.apply(new)
    }

    private var state: State {
        guard let replica else {
            var state = State(quota: settings.quota)
            state.failure = checkFailure?.error
            return state
        }
        let descriptors = replica.descriptorCount
        let completeness = replica.completeness
        return State(
            isOpen: true, descriptors: descriptors.held, capacity: descriptors.most, shards: completeness.held,
            complete: completeness.complete, entries: replica.storage.totals().values.reduce(0) { $0 + $1.entries },
            bytes: replica.storage.bytesUsed, quota: settings.quota, counts: replica.counts, failure: disk?.failure,
            isAwaited: replica.isAwaited)
    }

    /// The replica's event; nil for what cannot be handed to it, whose answer is then among the `actions`.
    private func replicaEvent(_ event: Event, _ actions: inout [Action]) -> NodeReplica.Event? {
        guard replica != nil else {
            switch event {
            case .follow(let snapshot): early = snapshot
            case .asked(let ask, _, _, _, _): actions.append(.answer(ask: ask, .refused(.busy(seconds: 10))))
            case .message(let ask, _, _, _): actions.append(.reply(ask: ask, nil))
            case .answered, .apply, .tick: break
            }
            return nil
        }
        switch event {
        case .follow(let snapshot): return view(of: snapshot).map { .snapshot($0) }
        case .asked(let ask, let via, let method, let arguments, let binding):
            do throws(WireError) {
                let request = try StoreRequest(method: method, arguments: arguments.rawSpan, network: network)
                return .request(ask: ask, via: via, request, binding: binding)
            } catch {
                let isUnknown = if case .unknownKind = error { true } else { false }
                actions.append(.answer(ask: ask, .refused(isUnknown ? .unknown : .malformed)))
                return nil
            }
        case .message(let ask, let peer, let kind, let body): return .message(ask: ask, from: peer, kind, body)
        case .answered(let question, let body): return .answer(question: question, body)
        case .apply: return nil
        case .tick: return .tick
        }
    }

    private func view(of snapshot: Snapshot) -> SwarmView? {
        // The network file's numbers are allowed ones, and a snapshot has fewer nodes than a map may have.
        guard let map = SwarmMap(snapshot, shards: shards, swarmSize: swarmSize) else { return nil }
        let isAnySuspended = snapshot.entries.contains { !$0.isStaked }
        return SwarmView(
            height: snapshot.height, map: map,
            withSuspended: isAnySuspended
                ? SwarmMap(snapshot, shards: shards, swarmSize: swarmSize, withSuspended: true) : nil)
    }
}

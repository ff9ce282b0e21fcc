internal import OnionCrypto
internal import Swarm
internal import Wire

/// The node's replica of its shards, on another thread than the loop's; it takes events and returns actions for the
/// loop.
///
/// `@unchecked Sendable`: one job at a time uses it. `SwarmService` begins the next job only when the last one has
/// completed.
final class SwarmWorker: @unchecked Sendable {
    typealias Action = Replica<MemoryStorage>.Action

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
        case tick
    }

    /// What came of a batch of events.
    struct Outcome: Sendable {
        var actions: [Action] = []
        var state = State()
    }

    /// The replica's state for others.
    struct State: Equatable, Sendable {
        /// How many items of kind 1 are held, and how many there may be.
        var descriptors = 0
        var capacity = 1
        /// How many shards this node holds.
        var shards = 0
        /// Whether clients wait, who may get an answer by time alone.
        var isAwaited = false

        /// The fill in sixteenths.
        var fill: UInt8 { UInt8(clamping: descriptors * 16 / max(1, capacity)) }
    }

    private let network: Bytes32
    private let shards: Int
    private let swarmSize: Int
    private var replica: Replica<MemoryStorage>

    /// The replica of the node with the key `key`, without items; `now` is in milliseconds since 1970.
    ///
    /// It holds items of kind 1 only, in memory.
    init(network: Bytes32, shards: Int, swarmSize: Int, key: consuming SigningKey, now: UInt64) {
        self.network = network
        self.shards = shards
        self.swarmSize = swarmSize
        replica = Replica(
            network: network, key: key, storage: MemoryStorage(logSalt: SecureRandom.u64()),
            settings: .init(quota: 0, recoveryRate: 0, isForDescriptors: true), random: SecureRandom(),
            hasEndedCleanly: false, now: now)
    }

    /// Handles events in their order.
    func handle(_ events: [Event], now: UInt64) -> Outcome {
        var outcome = Outcome()
        let known = events.compactMap { replicaEvent($0, &outcome.actions) }
        outcome.actions += replica.handle(known, now: now)
        let count = replica.descriptorCount
        outcome.state = State(
            descriptors: count.held, capacity: count.most, shards: replica.shards.count, isAwaited: replica.isAwaited)
        return outcome
    }

    /// The replica's event; nil for a request that cannot be read, whose answer is then among the `actions`.
    private func replicaEvent(_ event: Event, _ actions: inout [Action]) -> Replica<MemoryStorage>.Event? {
        switch event {
        case .follow(let snapshot):
            // The network file's numbers are allowed ones, and a snapshot has fewer nodes than a map may have.
            guard let map = SwarmMap(snapshot, shards: shards, swarmSize: swarmSize) else { return nil }
            return .snapshot(SwarmView(height: snapshot.height, map: map))
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
        case .tick: return .tick
        }
    }
}

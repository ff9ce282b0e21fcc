public import OnionCrypto
public import Wire

/// A node's part in the store: replica of its shards, coordinator of clients' requests, and one end of comparisons.
///
/// A state machine without I/O: events and the time (milliseconds since 1970) go in, actions come out. It works on an
/// ``ItemStorage`` whose transaction ends with each call of ``handle(_:now:)``. Actions that follow from a write, and
/// the answers to all reads, come out after the commit. So nobody learns of an entry that a failed commit undoes.
///
/// It has more members than most types: the parts, which have the rules, and the actions until the commit.
public struct Replica<Storage: ItemStorage> {
    /// The events of a replica.
    public enum Event: Sendable {
        /// A newer snapshot.
        case snapshot(SwarmView)
        /// A client's request; the answer has the number `ask`. `binding` belongs to the request or session.
        ///
        /// `via` is the node that brought the request: places are shared among such nodes.
        case request(ask: UInt64, via: NodeID, StoreRequest, binding: Bytes32)
        /// A client opens a subscription on the stream with this number, over a link with the node `via`.
        case subscribe(id: UInt64, via: NodeID, SubscriptionOpen, binding: Bytes32)
        /// The stream of a subscription has ended.
        case unsubscribe(id: UInt64)
        /// The oldest push under way of a subscription has been sent.
        case pushed(id: UInt64)
        /// A node's message; the reply has the number `ask`.
        case message(ask: UInt64, from: NodeID, SwarmMessage, [UInt8])
        /// The answer to a question, or nil after a failure.
        case answer(question: UInt64, [UInt8]?)
        /// Time has passed: at least every second.
        case tick
    }

    /// The actions that the owner must take.
    public enum Action: Hashable, Sendable {
        /// Answer a client.
        case answer(ask: UInt64, StoreAnswer)
        /// Answer a node's message; nil: refuse it.
        case reply(ask: UInt64, [UInt8]?)
        /// Send a message; its answer, or nil, comes back with this number.
        case ask(NodeID, SwarmMessage, [UInt8], question: UInt64)
        /// Send status 0 on the stream of a subscription; or send the refusal and end the stream.
        case opened(id: UInt64, StoreRefusal?)
        /// Send an event on the stream of a subscription.
        case push(id: UInt64, SubscriptionEvent)
        /// End the stream of a subscription after all pushes.
        case close(id: UInt64)
    }

    /// The settings of a node's operator.
    public struct Settings: Sendable {
        /// The bytes that the node offers.
        public var quota: UInt64
        /// The rate at which shards that the node joins are pulled, in bytes a second; at least 256 KiB takes effect.
        public var recoveryRate: UInt64

        /// The settings.
        public init(quota: UInt64, recoveryRate: UInt64) {
            self.quota = quota
            self.recoveryRate = recoveryRate
        }
    }

    /// Work that waits until the transaction is on disk, or has failed.
    enum Durable {
        /// Answer REPLICATE: for each copy the id to sign, or the status.
        case reply(ask: UInt64, height: UInt64, [Result<ItemID, StoreRefusal>])
        /// Note a coordinator's own copy.
        case put(UInt64)
        /// Answer a client's read.
        case read(ask: UInt64, via: NodeID, StoreRequest, binding: Bytes32)
        /// Answer a replica's read.
        case message(ask: UInt64, from: NodeID, SwarmMessage, [UInt8])
        /// Open a subscription.
        case subscribe(id: UInt64, via: NodeID, SubscriptionOpen, binding: Bytes32)
    }

    final class Signer {
        let key: SigningKey
        init(_ key: consuming SigningKey) { self.key = key }
    }

    let node: NodeID
    let signer: Signer
    private(set) var settings: Settings
    var holdings: Holdings<Storage>
    var descriptors = DescriptorTable()
    /// The views of the newest snapshots, the newest first.
    var views: [SwarmView] = []
    var roles: [UInt16: ShardRole] = [:]
    var peers: [NodeID: ReplicaPeer] = [:]
    var coordinator: Coordinator
    var subscriptions = Subscriptions()
    var questions = Questions()
    var recovery: ByteBudget
    var reading: ReadRate
    private var clock: SwarmClock
    /// The latest minute at which entries were removed that had expired.
    private var expired: UInt32 = 0
    /// The time for intervals, in milliseconds.
    var now: UInt64
    var actions: [Action] = []
    var durable: [Durable] = []

    /// The replica with the node key `key` and the entries in `storage`.
    ///
    /// `hasEndedCleanly` is also false for a new storage and for a restored one.
    public init(
        network: Bytes32, key: consuming SigningKey, storage: Storage, settings: Settings,
        random: any RandomNumberGenerator & Sendable, hasEndedCleanly: Bool, now: UInt64
    ) {
        node = NodeID(key.publicKey)
        signer = Signer(key)
        self.settings = settings
        clock = SwarmClock(now)
        self.now = clock.steady
        holdings = Holdings(network: network, storage: storage, random: random)
        if !hasEndedCleanly { holdings.renumber() }
        coordinator = Coordinator(quota: settings.quota, now: clock.steady)
        reading = ReadRate(now: clock.steady)
        recovery = ByteBudget(capacity: Self.recoveryBurst(settings), window: 2_000, now: clock.steady)
        loadRoles()
    }

    /// The storage.
    public var storage: Storage { holdings.storage }
    /// The height of the newest snapshot; 0 before the first.
    public var height: UInt64 { views.first?.height ?? 0 }
    /// How much it has done so far.
    public internal(set) var counts = ReplicaCounts()
    /// How many items of kind 1 are held, and how many there may be.
    public var descriptorCount: (held: Int, most: Int) { (descriptors.count, descriptors.capacity) }
    /// Whether clients wait for receipts; they may get an answer by time alone.
    public var isAwaited: Bool { !coordinator.asks.isEmpty }
    var minute: UInt32 { clock.minute }
    var network: Bytes32 { holdings.network }

    /// Applies new numbers of the operator.
    public mutating func apply(_ new: Settings) {
        settings = new
        coordinator.resize(quota: new.quota)
        recovery.resize(Self.recoveryBurst(new))
        refreshPeers()
    }

    /// The bytes of joined shards that may be pulled in two seconds.
    private static func recoveryBurst(_ settings: Settings) -> UInt64 {
        max(settings.recoveryRate, UInt64(SwarmLimits.fetchBytes)) &* 2
    }

    /// Handles events in their order, in one transaction.
    public mutating func handle(_ events: [Event], now: UInt64) -> [Action] {
        let wasSetBack = clock.advance(to: now)
        if wasSetBack { roles = roles.mapValues { $0.following(minute) } }
        self.now = clock.steady
        actions = []
        holdings.keepSalt()
        if wasSetBack { distrustExpired() }
        distrustDamaged()
        for event in events { handle(event) }
        holdings.sweep(at: self.now)
        flushOutbox()
        let isOnDisk = holdings.storage.commit()
        if !isOnDisk {
            undo()
            // A storage that still refuses the roles gets them at the next tick; the next events have a fresh
            // transaction.
            _ = holdings.storage.commit()
        }
        finish(isOnDisk: isOnDisk)
        answerPuts()
        pumpChanged()
        defer { actions = [] }
        return actions
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .snapshot(let view): follow(view)
        case .request(let ask, let via, let request, let binding):
            handle(request, ask: ask, via: via, binding: binding)
        case .subscribe(let id, let via, let open, let binding):
            durable.append(.subscribe(id: id, via: via, open, binding: binding))
        case .unsubscribe(let id): subscriptions.remove(id)
        case .pushed(let id): subscriptions.pushed(id, now)
        case .message(let ask, let peer, let kind, let body): handle(kind, body, from: peer, ask: ask)
        case .answer(let question, let body): answered(question, body)
        case .tick: tick()
        }
    }

    private mutating func handle(_ request: StoreRequest, ask: UInt64, via: NodeID, binding: Bytes32) {
        do throws(StoreRefusal) {
            switch request {
            case .store(let height, let item): try store(item, height: height, ask: ask, via: via)
            case .delete(let box, let deletions): try delete(deletions, in: box, ask: ask, via: via)
            case .list, .fetch, .lookup: durable.append(.read(ask: ask, via: via, request, binding: binding))
            }
        } catch {
            counts.refusals += 1
            actions.append(.answer(ask: ask, .refused(error)))
        }
    }

    private mutating func tick() {
        if holdings.expire(minute: minute, limit: 100) { expired = max(expired, minute) }
        holdings.storage.verify(limit: SwarmLimits.verifyStep)
        descriptors.expire(minute: minute)
        checkRoles()
        retryPuts()
        startExchanges()
        subscriptions.queueAll()
        for id in subscriptions.stalled(now) { end(subscription: id) }
    }

    /// After the clock was set back: what had expired by the later time is gone, and other replicas have it.
    private mutating func distrustExpired() {
        // Nobody compares the entries of the last minutes of their life.
        guard expired > minute + SwarmLimits.compareLife else { return }
        expired = minute
        for shard in roles.keys.sorted() { distrust(shard) }
    }

    /// Removes entries that were found damaged; their shards may lack items from now on, and are compared anew.
    private mutating func distrustDamaged() {
        for (shard, count) in holdings.storage.removeDamaged() {
            counts.damaged += UInt64(clamping: count)
            distrust(shard)
        }
    }

    /// Forgets state derived from events whose transaction has failed.
    private mutating func undo() {
        holdings.undo()
        for peer in peers.keys { drop(exchangeWith: peer) }
        loadRoles()
        assignRoles()
        refreshPeers()
    }

    /// Does the waiting work: copies on disk get receipts, copies that are not on disk are refused.
    private mutating func finish(isOnDisk: Bool) {
        for outcome in durable {
            switch outcome {
            case .reply(let ask, let height, let results):
                let outcomes = results.map { result -> Replicate.Outcome in
                    switch result {
                    case .success(let id):
                        isOnDisk ? .held(receipt(height: height, id)) : .refused(StoreRefusal.full.status)
                    case .failure(let refusal): .refused(refusal.status)
                    }
                }
                let held = outcomes.count { if case .held = $0 { true } else { false } }
                counts.receipts += UInt64(clamping: held)
                counts.refusals += UInt64(clamping: outcomes.count - held)
                actions.append(.reply(ask: ask, Replicate.encode(outcomes)))
            case .put(let number): ownCopy(number, isOnDisk: isOnDisk)
            case .read(let ask, let via, let request, let binding): read(request, ask: ask, via: via, binding: binding)
            case .message(let ask, let peer, let kind, let body):
                actions.append(.reply(ask: ask, answer(kind, body, from: peer)))
            case .subscribe(let id, let via, let open, let binding): subscribe(id: id, via: via, open, binding: binding)
            }
        }
        durable = []
    }

    /// This node's receipt for an item.
    func receipt(height: UInt64, _ id: ItemID) -> [UInt8] {
        signer.key.sign(StoreReceipt.message(height: height, id: id, network: network).rawSpan)
    }

    /// Sends a message that asks `question`; returns the number of the question.
    @discardableResult
    mutating func ask(_ peer: NodeID, _ kind: SwarmMessage, _ body: [UInt8], _ question: Questions.Question) -> UInt64 {
        let number = questions.open(question)
        actions.append(.ask(peer, kind, body, question: number))
        return number
    }

    private mutating func answered(_ number: UInt64, _ body: [UInt8]?) {
        switch questions.close(number) {
        case nil: break
        case .replicate(let peer, let puts): replicated(puts, by: peer, body)
        case .exchange(let peer): exchangeAnswered(number, by: peer, body)
        }
    }
}

/// How much a replica has done since its process started.
public struct ReplicaCounts: Hashable, Sendable {
    /// Receipts that it has signed.
    public var receipts: UInt64 = 0
    /// Requests and copies that it has refused.
    public var refusals: UInt64 = 0
    /// Comparisons with other replicas that it has begun.
    public var comparisons: UInt64 = 0
    /// Copies received and copies sent because of comparisons.
    public var fetched: UInt64 = 0, brought: UInt64 = 0
    /// Entries that were found damaged, and removed for other replicas to bring them again.
    public var damaged: UInt64 = 0

    /// All counts are 0.
    public init() {}
}

/// The replicas of all shards by one snapshot.
public struct SwarmView: Sendable {
    /// The snapshot's height.
    public let height: UInt64
    /// The map of the staked nodes.
    public let map: SwarmMap
    /// The map of staked and suspended nodes together; nil while none is suspended.
    public let withSuspended: SwarmMap?

    /// The maps of the snapshot at `height`.
    public init(height: UInt64, map: SwarmMap, withSuspended: SwarmMap? = nil) {
        self.height = height
        self.map = map
        self.withSuspended = withSuspended
    }
}

/// Questions that wait for an answer, by number; each is answered once.
struct Questions {
    enum Question {
        /// REPLICATE with the copies of these puts; nil for a copy that belongs to no put.
        case replicate(NodeID, [UInt64?])
        /// The step of the exchange with a peer.
        case exchange(NodeID)
    }

    private var open: [UInt64: Question] = [:]
    private var next: UInt64 = 1

    /// Adds a question and returns its number.
    mutating func open(_ question: Question) -> UInt64 {
        defer { next += 1 }
        open[next] = question
        return next
    }

    /// Forgets all questions; their answers are then answers to nothing.
    mutating func forget() { open = [:] }

    /// Removes and returns the question of a number.
    mutating func close(_ number: UInt64) -> Question? { open.removeValue(forKey: number) }
}

internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Logging
internal import OnionCrypto
internal import Requests
internal import Store
internal import Swarm
internal import Wire

/// The swarm store at a node (protocol.md, section 12): clients' requests, and the messages of other replicas.
///
/// They go to a `SwarmWorker` on another thread, one batch at a time, because they wait for the disk, and most of them
/// need public-key work. What is answered is on disk. No log contains a box, an item or a node that asked.
final class SwarmService: SnapshotFollower {
    /// How often the replica looks at the time while clients wait.
    private static let awaitedTick = TimeSpan.milliseconds(250)

    /// Who waits for an answer of the replica.
    private enum Waiting {
        case client((RequestAnswer) -> Void)
        case node(ControlResponder)
    }

    private let links: Links
    private let node: NodeID
    let worker: SwarmWorker
    private let peers: SwarmPeers
    private var queue = SwarmQueue()
    private var waiting: [UInt64: Waiting] = [:]
    private var lastNumber: UInt64 = 0
    private var isWorking = false
    private var isClosed = false
    private var timer: LoopTimer?
    private let log: Logger
    /// Holds the lock of the data folder for as long as the file in it is used.
    private let folder: Store?
    /// Called when the file is closed.
    private var closed: (() -> Void)?
    /// The replica's state after the last batch.
    private(set) var state = SwarmWorker.State()
    /// How many questions the replica has asked others.
    private(set) var asked: UInt64 = 0

    /// How many requests and messages have no answer yet.
    var pending: Int { waiting.count }

    /// The store of the node with `identity` by the numbers of `network`; `snapshot` is the trusted one.
    ///
    /// Its items are in `swarm.sqlite` in the data folder of `folder`, or in memory. A damaged file is set aside. A
    /// file that cannot be opened, or is of another network, is refused here; it is read in full by the first job of
    /// the worker.
    init(
        links: Links, nodes: KnownNodes, network: NetworkFile, configuration: RelayConfiguration,
        identity: LinkIdentity, snapshot: Snapshot, folder: Store?, log: Logger
    ) throws(StoreError) {
        self.links = links
        self.log = log
        self.folder = folder
        node = NodeID(identity.nodeID)
        var disk: SwarmStore?
        if let folder {
            let opened = try SwarmStore.open(folder: folder.folderPath, network: network.id, checks: false)
            disk = opened.store
            if let path = opened.setAside { log.error("\(Self.setAsideText(path))") }
        }
        // The worker's thread signs with a key of its own: an identity belongs to the loop.
        worker = SwarmWorker(
            network: network.id, shards: network.swarms.shards, swarmSize: network.swarms.size,
            key: Self.copy(identity.signingKey), settings: configuration.storeSettings, disk: disk)
        peers = SwarmPeers(links: links, nodes: nodes)
        timer = LoopTimer(on: links.loop) { [weak self] in self?.tick() }
        queue.post(.follow(snapshot))
    }

    private static func copy(_ key: borrowing SigningKey) -> SigningKey {
        SigningKey(seed: Secret(copying: key.seedBytes))
    }

    private static func setAsideText(_ path: String) -> String {
        "the swarm store was damaged; it is now \(path), and the other replicas fill a new one; check the disk"
    }

    /// Takes the operator's new numbers.
    func apply(_ configuration: RelayConfiguration) {
        queue.post(.apply(configuration.storeSettings))
        work()
    }

    func follow(_ snapshot: Snapshot, digest: Bytes32) {
        queue.post(.follow(snapshot))
        work()
    }

    /// The problem that the operator must know of; nil if there is none.
    var problem: RelayProblem? {
        if let failure = state.failure { return .unstored(failure) }
        return state.isOpen && state.isFull ? .storeFull(bytes: state.bytes) : nil
    }

    /// The figures for the operator.
    var status: RelayStoreStatus {
        let counts = state.counts
        return RelayStoreStatus(
            shards: state.shards, complete: state.complete, items: state.entries, bytes: state.bytes,
            quota: state.quota, descriptors: state.descriptors, receipts: counts.receipts, refusals: counts.refusals,
            comparisons: counts.comparisons, fetched: counts.fetched, brought: counts.brought, damaged: counts.damaged)
    }

    /// Lets the replica do what is due; to be called every second.
    func tick() {
        queue.tick()
        work()
    }

    // MARK: Requests and messages

    /// Handles a client's request that `asker` brought; `done` is called once, perhaps inside this call.
    func handle(
        _ method: RequestMethod, _ arguments: [UInt8], by asker: Asker, binding: Bytes32,
        done: @escaping (RequestAnswer) -> Void
    ) {
        // The file is checked after an unclean exit, for minutes if it is large.
        guard state.isOpen else { return done(.busy(seconds: 10)) }
        // Clients on links of their own count as one source, and this node stands for it.
        let via: NodeID = if case .node(let other) = asker { other } else { node }
        let number = wait(.client(done))
        let event = SwarmWorker.Event.asked(
            number, via: via, method: method.rawValue, arguments: arguments, binding: binding)
        if let loser = queue.ask(event, by: asker) { refuse(loser) }
        work()
    }

    /// Handles a node's message.
    func received(_ message: SwarmMessage, _ body: [UInt8], from peer: NodeID, _ responder: ControlResponder) {
        guard state.isOpen else { return links.refuse(responder) }
        let number = wait(.node(responder))
        if let loser = queue.receive(.message(number, from: peer, message, body), from: peer) { refuse(loser) }
        work()
    }

    /// To be called when a link to a node is up.
    func linkUp(_ peer: NodeID) { peers.linkUp(peer) }

    private func wait(_ asker: Waiting) -> UInt64 {
        lastNumber += 1
        waiting[lastNumber] = asker
        return lastNumber
    }

    /// Turns away a request or message that found no place.
    private func refuse(_ number: UInt64) {
        switch waiting.removeValue(forKey: number) {
        case .client(let done): done(.busy(seconds: 1))
        case .node(let responder): links.refuse(responder)
        case nil: break
        }
    }

    // MARK: The worker

    private func work() {
        guard !isWorking, !isClosed else { return }
        let batch = queue.next()
        guard !batch.isEmpty else { return }
        isWorking = true
        let (worker, time) = (worker, links.loop.wallClock / 1_000_000)
        links.loop.work({ worker.handle(batch, now: time) }) { [weak self] outcome in
            guard let self else { return }
            isWorking = false
            if let path = outcome.setAside { log.error("\(Self.setAsideText(path))") }
            guard !isClosed else { return endFile() }
            state = outcome.state
            for action in outcome.actions { perform(action) }
            if state.isAwaited { timer?.schedule(at: (links.now + Self.awaitedTick).nanoseconds) }
            work()
        }
    }

    private func perform(_ action: SwarmWorker.Action) {
        switch action {
        case .answer(let number, let answer):
            guard case .client(let done)? = waiting.removeValue(forKey: number) else { return }
            // Both encodings are one: a status with its fields, or 0 and the result.
            done((try? RequestAnswer(decoding: answer.encoded().rawSpan)) ?? RequestAnswer(.full))
        case .reply(let number, let body):
            guard case .node(let responder)? = waiting.removeValue(forKey: number) else { return }
            if let body { links.answer(responder, body) } else { links.refuse(responder) }
        case .ask(let peer, let message, let body, let question):
            asked += 1
            peers.ask(peer, message, body) { [weak self] answer in
                guard let self else { return }
                queue.post(.answered(question: question, answer))
                work()
            }
        // No stream carries a subscription, so the replica has none.
        case .opened, .push, .close: break
        }
    }

    /// Stops; clients and nodes that wait get no answer.
    func stop() {
        isClosed = true
        timer?.close()
        timer = nil
        peers.close()
        waiting = [:]
    }

    /// Stops; `completion` is called once the file is closed.
    func close(completion: @escaping () -> Void) {
        stop()
        // It may take minutes, and the next start does it anyway.
        worker.interrupt()
        closed = completion
        if !isWorking { endFile() }
    }

    private func endFile() {
        guard let completion = closed else { return }
        closed = nil
        isWorking = true
        links.loop.work({ [worker] in worker.end() }) { completion() }
    }
}

extension RelayConfiguration {
    /// The numbers of the swarm store.
    fileprivate var storeSettings: SwarmWorker.NodeReplica.Settings {
        let recovery = storeRecovery > 0 ? storeRecovery : rate > 0 ? UInt64(clamping: rate / 2) : 6_250_000
        return .init(quota: storeQuota, recoveryRate: recovery)
    }
}

internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import OnionCrypto
internal import Requests
internal import Swarm
internal import Wire

/// The swarm store at a node (protocol.md, section 12): clients' requests, and the messages of other replicas.
///
/// They go to a `SwarmWorker` on another thread, one batch at a time, because most of them need public-key work. No log
/// contains a box, an item or a node that asked.
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
    private let worker: SwarmWorker
    private let peers: SwarmPeers
    private var queue = SwarmQueue()
    private var waiting: [UInt64: Waiting] = [:]
    private var lastNumber: UInt64 = 0
    private var isWorking = false
    private var isClosed = false
    private var timer: LoopTimer?
    /// The replica's state after the last batch.
    private(set) var state = SwarmWorker.State()
    /// How many questions the replica has asked others.
    private(set) var asked: UInt64 = 0

    /// How many requests and messages have no answer yet.
    var pending: Int { waiting.count }

    /// The store of the node with `identity` by the numbers of `network`, without items; `snapshot` is the trusted one.
    init(links: Links, nodes: KnownNodes, network: NetworkFile, identity: LinkIdentity, snapshot: Snapshot) {
        self.links = links
        node = NodeID(identity.nodeID)
        // The worker's thread signs with a key of its own: an identity belongs to the loop.
        worker = SwarmWorker(
            network: network.id, shards: network.swarms.shards, swarmSize: network.swarms.size,
            key: Self.copy(identity.signingKey),
            now: links.loop.wallClock / 1_000_000)
        peers = SwarmPeers(links: links, nodes: nodes)
        timer = LoopTimer(on: links.loop) { [weak self] in self?.tick() }
        queue.post(.follow(snapshot))
    }

    private static func copy(_ key: borrowing SigningKey) -> SigningKey {
        SigningKey(seed: Secret(copying: key.seedBytes))
    }

    func follow(_ snapshot: Snapshot, digest: Bytes32) {
        queue.post(.follow(snapshot))
        work()
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
            guard let self, !isClosed else { return }
            isWorking = false
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
    func close() {
        isClosed = true
        timer?.close()
        timer = nil
        peers.close()
        waiting = [:]
    }
}

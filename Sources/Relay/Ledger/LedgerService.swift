internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import OnionCrypto
public import Registry
internal import Store
internal import Wire

/// Gets the registry's state after a new block, or after the last of several.
protocol LedgerFollower: AnyObject {
    /// Continues with a newer state.
    func follow(_ state: RegistryState)
}

/// The ledger of a running node.
///
/// Messages, time and operations go to a `LedgerWorker` on another thread, one batch at a time. The loop does no work
/// that grows with the registry; it gets the state as a value.
///
/// It has more members than most types because it connects other parts; `LedgerWorker` and `LedgerQueue` make the
/// decisions.
public final class LedgerService {
    /// The interval between ticks of the ledger, for an authority and for other nodes.
    private static let tick = (authority: TimeSpan.milliseconds(100), other: TimeSpan.milliseconds(500))
    /// The number of neighbours that a new block is announced to.
    private static let fanout = 8
    /// The longest wait for an answer.
    private static let answerLimit = TimeSpan.seconds(5)

    private let links: Links
    private let neighbours: Neighbours
    private let network: NetworkFile
    private let node: NodeID
    private let log: Logger
    private let worker: LedgerWorker
    /// Whether this node is an authority.
    public let isAuthority: Bool
    /// The registry after the last block, as a source of snapshots.
    public let source = LedgerSource()
    /// The registry after the last block.
    public private(set) var state: RegistryState
    private var followers: [any LedgerFollower] = []
    /// The error because of which the ledger does not continue; nil while it can be written.
    private(set) var failure: LedgerFailure?
    /// The number of operations that wait here for a block, if this node is an authority.
    public private(set) var waitingCount = 0
    /// The number of requests among authorities that were refused, here or by others, because clocks differ.
    ///
    /// It is 0 if this node is not an authority.
    public private(set) var clockRefusals: UInt64 = 0

    private var queue: LedgerQueue
    private let blocks: BlockServer
    private var isWorking = false
    private var isClosing = false
    private var timer: LoopTimer?
    private var submissions: [UInt64: (SubmitResult) -> Void] = [:]
    private var nextSubmission: UInt64 = 1

    /// The ledger of `network`, which must name one, for the node `node`; reads and checks the ledger in `store`'s
    /// folder.
    ///
    /// `key` is the key of an authority, if this node is one.
    init(
        links: Links, neighbours: Neighbours, network: NetworkFile, node: NodeID, key: consuming SigningKey?,
        store: Store?, log: Logger
    ) throws {
        self.links = links
        self.neighbours = neighbours
        self.network = network
        self.node = node
        self.log = log
        let start = try Self.start(of: network)
        isAuthority = key != nil
        let file = try store.map { try LedgerStore(folder: $0.folderPath, genesis: start.rules.genesisHash) }
        worker = try LedgerWorker(
            rules: start.rules, first: start.blocks, epochSeconds: network.epochSeconds, node: node, key: key,
            store: file, now: links.time.seconds)
        queue = LedgerQueue(now: links.now)
        blocks = BlockServer(links: links, reader: try file.map { try LedgerReader(beside: $0) })
        state = worker.state
        source.set(worker.snapshots, problem: nil)
    }

    /// The rules and first blocks of a network file that names a ledger.
    static func start(of network: NetworkFile) throws -> (rules: LedgerRules, blocks: [FinalBlock]) {
        guard let ledger = network.ledger, let genesis = try? RegistryState(decoding: ledger.genesis.rawSpan),
            genesis.network == network.id,
            let rules = LedgerRules(
                authorities: network.authorities.map { .init(key: $0.key, node: $0.node) },
                threshold: network.authorityThreshold, blockSeconds: ledger.blockSeconds,
                slotSeconds: ledger.slotSeconds, genesis: genesis)
        else { throw LedgerError.wrongGenesis }
        do throws(LedgerRefusal) {
            return (rules, try ledger.blocks.map { bytes throws(LedgerRefusal) in try FinalBlock(orRefusal: bytes) })
        } catch {
            throw LedgerError.wrongStart(error)
        }
    }

    /// Begins to follow the ledger.
    ///
    /// `followers` learn of each newer state.
    func begin(telling followers: [any LedgerFollower]) {
        self.followers = followers
        timer = LoopTimer(on: links.loop) { [weak self] in self?.ticked() }
        ticked()
    }

    /// Stops the ledger: pending submissions get `timedOut`; a second call has no effect.
    func close() {
        isClosing = true
        timer?.close()
        followers = []
        let waiting = submissions.values
        submissions = [:]
        for done in waiting { done(.timedOut) }
    }

    private func ticked() {
        queue.tick()
        work()
        blocks.tick()
        timer?.schedule(
            at: (links.now + (isAuthority ? Self.tick.authority : Self.tick.other)).nanoseconds)
    }

    // MARK: Operations

    /// Submits an operation.
    ///
    /// `done` is called once, on the loop, when the operation is in a block, refused, or too late. If the operation
    /// cannot be accepted, `done` is called inside this call.
    public func submit(_ operation: RegistryOperation, _ done: @escaping (SubmitResult) -> Void) {
        let id = nextSubmission
        nextSubmission += 1
        guard failure == nil, post(.submit(operation, id)) else { return done(.timedOut) }
        submissions[id] = done
    }

    // MARK: Links

    /// To be called when a link has ended.
    func linkDown(_ link: LinkID) { blocks.linkDown(link) }

    /// Takes a control message about the ledger.
    ///
    /// `peer` is nil for a client, which may only ask for blocks and submit operations.
    func received(_ message: LedgerMessage, _ body: [UInt8], from peer: NodeID?, _ responder: ControlResponder) {
        switch message {
        case .announce:
            var reader = ByteReader(body.rawSpan)
            guard let peer, let height = try? reader.u64(), reader.remaining == 0 else {
                return links.refuse(responder)
            }
            links.answer(responder, [])
            if height > state.height {
                queue.announced(height, by: peer)
                work()
            }
        case .getBlocks:
            var reader = ByteReader(body.rawSpan)
            guard let height = try? reader.u64(), reader.remaining == 0, let asker = asker(peer, responder) else {
                return links.refuse(responder)
            }
            blocks.received(height, from: asker, responder)
        case .submit:
            guard isAuthority, let asker = asker(peer, responder) else { return links.refuse(responder) }
            let refused = queue.submit(.asked(message, body, peer, responder), by: asker)
            if let responder = refused?.responder { links.refuse(responder) }
            work()
        case .prepare, .propose, .commit, .final:
            // Only authorities accept these, and only from the nodes of authorities in the network file.
            guard isAuthority, let peer, network.authorities.contains(where: { $0.node == peer }) else {
                return links.refuse(responder)
            }
            let refused = queue.ask(.asked(message, body, peer, responder), byAuthority: peer)
            if let responder = refused?.responder { links.refuse(responder) }
            work()
        }
    }

    /// The party that a request on a link counts for; nil if the link has ended.
    private func asker(_ peer: NodeID?, _ responder: ControlResponder) -> Asker? {
        if let peer { return .node(peer) }
        return links.endpoint(of: responder.link).map { .address(AddressShare($0.address)) }
    }

    // MARK: The worker

    @discardableResult
    private func post(_ event: LedgerWorker.Event) -> Bool {
        guard !isClosing, queue.post(event) else { return false }
        work()
        return true
    }

    private func work() {
        guard !isWorking, !isClosing else { return }
        let batch = queue.next(now: links.now)
        // Operations that exceed their rate follow at a later tick.
        guard !batch.isEmpty else { return }
        isWorking = true
        let (worker, time) = (worker, links.loop.wallClock / 1_000_000)
        links.loop.work({ worker.handle(batch, now: time) }) { [weak self] effects in
            guard let self else { return }
            isWorking = false
            for effect in effects { perform(effect) }
            work()
        }
    }

    private func perform(_ effect: LedgerWorker.Effect) {
        guard !isClosing else { return }
        switch effect {
        case .ask(let target, let message, let body, let id): ask(target, message, body, id)
        case .answer(let responder, let body):
            if let body { links.answer(responder, body) } else { links.refuse(responder) }
        case .announce(let height):
            var writer = ByteWriter(capacity: 8)
            writer.u64(height)
            for (_, link) in SecureRandom.shuffled(neighbours.up).prefix(Self.fanout) {
                links.send(on: link, LedgerMessage.announce, body: writer.bytes)
            }
        case .submitted(let id, let result): submissions.removeValue(forKey: id)?(result)
        case .warn(let warning): log.warning("\(warning.text)")
        case .fail(let failure):
            self.failure = failure
            log.error("the ledger cannot be written, so nothing is signed; it is tried again: \(failure.text)")
            source.set(source.epochSnapshots, problem: .unwritable(failure))
            let waiting = submissions.values
            submissions = [:]
            for done in waiting { done(.timedOut) }
        case .recovered(let state, let snapshots):
            failure = nil
            log.info("the ledger can be written again", metadata: ["height": "\(state.height)"])
            waitingCount = 0
            source.set(snapshots, problem: nil)
            follow(state)
        case .clockRefusals(let count): clockRefusals = count
        case .grew(let state, let snapshots, let problem, let waiting):
            waitingCount = waiting
            source.set(snapshots, problem: problem.map(LedgerProblem.warning))
            follow(state)
        }
    }

    private func follow(_ state: RegistryState) {
        guard state.height > self.state.height else { return }
        self.state = state
        for follower in followers { follower.follow(state) }
    }

    // MARK: Questions

    private func ask(_ target: LedgerNode.Receiver, _ message: LedgerMessage, _ body: [UInt8], _ id: UInt64) {
        let chosen: NodeID? =
            switch target {
            case .node(let other): other
            case .anyone(let avoided): anyone(but: avoided)
            }
        guard let other = chosen else {
            post(.answered(id, nil, from: nil))
            return
        }
        if let link = neighbours.up[other] { return ask(other, link, message, body, id) }
        let listed = network.bootstrap.first { $0.node == other }?.addresses
        guard let endpoints = neighbours.nodes.addresses(of: other) ?? listed else {
            post(.answered(id, nil, from: other))
            return
        }
        links.link(to: other, at: endpoints, limit: Self.answerLimit) { [weak self] link in
            guard let self else { return }
            if let link { return ask(other, link, message, body, id) }
            post(.answered(id, nil, from: other))
        }
    }

    private func ask(_ other: NodeID, _ link: LinkID, _ message: LedgerMessage, _ body: [UInt8], _ id: UInt64) {
        links.request(on: link, message, body: body, timeout: Self.answerLimit) { [weak self] result in
            let answer: [UInt8]? = if case .success(let body) = result { body } else { nil }
            self?.post(.answered(id, answer, from: other))
        }
    }

    /// A random neighbour, or a node of the bootstrap list if there is none.
    ///
    /// Nodes in `avoided` are chosen only if there are no others.
    private func anyone(but avoided: Set<NodeID>) -> NodeID? {
        func draw(_ nodes: some Sequence<NodeID>) -> NodeID? {
            let all = Array(nodes)
            return SecureRandom.element(of: all.filter { !avoided.contains($0) }) ?? SecureRandom.element(of: all)
        }
        return draw(neighbours.up.keys) ?? draw(network.bootstrap.map(\.node).filter { $0 != node })
    }
}

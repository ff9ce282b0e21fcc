public import Directory
public import EventLoop
internal import Link
internal import Links
public import Logging
internal import Onion
public import OnionCrypto
internal import Registry
internal import Sessions
public import Store
internal import Transport
public import Wire

/// Why a relay cannot run.
public enum RelayError: Error, Equatable, CustomStringConvertible {
    /// The node is not among the staked nodes of the network file.
    case notStaked(NodeID)
    /// An address cannot be announced: it listens on a wildcard address.
    case noAddress

    /// What is wrong and what to do.
    public var description: String {
        switch self {
        case .notStaked(let node):
            "\(node) is not a staked node of this network; use the key of a node that the network file's snapshot lists"
        case .noAddress:
            "the address to listen on cannot be announced to others; name the public address with --public"
        }
    }
}

/// The node role: links with clients and nodes, paths through here and to here, and the exit.
///
/// It has more members than most types: it makes the parts and wires them. Their state is theirs.
public final class Relay {
    let network: NetworkFile
    private(set) var configuration: RelayConfiguration
    let log: Logger
    let links: Links
    let publication: Publication
    let directory: RelayDirectory
    private let staked: StakedNodes
    /// The ledger of the network, where it has one.
    public let ledger: LedgerService?
    let watching: Watching
    let selfCheck: SelfCheck
    let paths: PathService
    let builds: BuildService
    let sessions: SessionHost
    let requests: RequestService
    /// Where the node is one.
    let exit: Exit?
    private let messages: RelayMessages
    private let observer: (any RelayObserver)?
    private(set) var life = RelayLife() {
        didSet { builds.takesPaths = life.takesPaths }
    }
    var solitude = Solitude()
    private var notices: RelayNotices
    private var timer: LoopTimer?

    /// A relay on `loop` with the identity `identity`; its sockets are open when this returns, nothing is sent before ``start()``.
    ///
    /// `registry` is where it learns of stakes; the network's ledger or the network file's snapshot unless something else is given.
    /// `authority` is the key of an authority of the ledger. In a network with a ledger it need not be staked yet. It must be closed
    /// before it is let go.
    public init(
        loop: Loop, network: NetworkFile, configuration: RelayConfiguration, identity: consuming SigningKey,
        authority: consuming SigningKey? = nil, registry: (any RegistrySource)? = nil,
        observer: (any RelayObserver)? = nil, store: Store?, log: Logger
    ) throws {
        self.network = network
        self.configuration = configuration
        self.log = log
        self.observer = observer
        let identity = LinkIdentity(identity)
        let node = NodeID(identity.nodeID)
        guard network.ledger != nil || network.snapshot.snapshot.isStaked(node) else {
            throw RelayError.notStaked(node)
        }
        let staked = StakedNodes(network.snapshot.snapshot)
        self.staked = staked
        let authorities = Set(network.authorities.map(\.node))
        let setup = LinksConfiguration(
            network: LinkNetwork(id: network.id, packetSize: network.packetSize),
            listen: configuration.listen.map { SocketAddress($0) }, messages: RelayMessage.kinds)
        links = try Links(
            on: loop, configuration: setup, identity: identity,
            isStaked: { staked.contains($0) || authorities.contains($0) })
        publication = try Publication(
            links: links, network: network, identity: identity, configuration: configuration)

        let signing = try Epochs.kept(of: network, in: store, at: links.time)
        staked.follow(signing.snapshot, digest: signing.chain.digest)
        notices = RelayNotices(isStaked: staked.contains(node))
        let nodes = try KnownNodes(links: links, network: network, snapshot: signing.snapshot, store: store)
        links.setNodeAddresses(
            endpoints: { [weak nodes] in nodes?.endpoints.contains($0) ?? false },
            addresses: { [weak nodes] in nodes?.addresses.contains($0) ?? false })
        let neighbours = Neighbours(links: links, node: node, nodes: nodes)
        ledger =
            network.ledger == nil || registry != nil
            ? nil
            : try LedgerService(
                links: links, neighbours: neighbours, network: network, node: node, key: authority, store: store,
                log: log)
        watching = try Watching(
            links: links, network: network, identity: identity, nodes: nodes, ledger: ledger, observer: observer,
            log: log)
        let recent = RecentNodes(signing.snapshot)
        directory = try RelayDirectory(
            signing, links: links, neighbours: neighbours, network: network, identity: identity, registry: registry,
            file: configuration.registryFile, ledger: ledger?.source, staked: staked, watching: watching,
            recent: recent, store: store, log: log)
        selfCheck = SelfCheck(links: links, node: node, neighbours: neighbours)

        let exit = configuration.isExit ? try Exit(on: loop, own: publication.own, configuration) : nil
        self.exit = exit
        var random = SecureRandom()
        let keys = try OnionKeys(now: links.now, firstLife: .seconds(.random(in: 43_200...86_400, using: &random)))
        requests = RequestService(
            links: links, nodes: nodes, recent: recent, network: network.id, node: node, keys: keys)
        sessions = SessionHost(
            on: loop, network: network,
            services: StreamServices(exit: exit?.services ?? [:], requests: requests),
            rateGate: RateGate(links: links, packetSize: network.packetSize), sessionLimit: configuration.exitSessions)
        paths = PathService(links: links, network: network, listener: sessions)
        builds = BuildService(links: links, paths: paths, nodes: nodes, network: network, node: node, keys: keys)
        messages = RelayMessages(
            links: links, paths: paths, builds: builds, directory: directory, ledger: ledger, watching: watching,
            requests: requests)
        links.relay = paths
        links.control = messages
    }

    /// The node's id.
    var node: NodeID { publication.node }
    /// Where it listens, IPv4 first.
    public var listenAddresses: [Endpoint] { publication.listenAddresses }

    /// Publishes the node and begins to serve.
    public func start() {
        publish()
        ledger?.begin(telling: [watching])
        sessions.rateGate.limit(rate: configuration.rate, burst: configuration.burst)
        timer = LoopTimer(on: links.loop) { [weak self] in self?.tick() }
        tick()
        log.notice(
            "the relay listens",
            metadata: [
                "node": "\(node)", "address": "\(listenAddresses.map(\.description).joined(separator: ", "))",
                "exit": "\(configuration.isExit)",
            ])
    }

    /// Makes and spreads a new descriptor.
    private func publish() {
        let descriptor = publication.renew(onionKey: builds.onionKey)
        requests.renew(keys: builds.keys, descriptor: descriptor.bytes)
        directory.gossip.publish(descriptor)
    }

    // MARK: Once a second

    private func tick() {
        guard !life.isClosed else { return }
        let now = links.now
        paths.sweep()
        sessions.sweep(now: now)
        directory.tick()
        followStake()
        followSolitude(now)
        if life.takesPaths { watching.tick() }
        if builds.advanceKeys() || publication.isDue { publish() }
        observer?.problem(cannotServe)
        tellNotices()
        if life.endsQuietPaths(now) { paths.endQuiet() }
        if life.endsAllPaths(now) {
            sessions.endSessions()
            paths.endAll()
        }
        let completion = life.note(
            paths: paths.pathCount, ends: paths.endCount, streams: sessions.streamCount, now: now)
        if let completion { close(completion: completion) }
        timer?.schedule(at: (now + (life.isDraining ? .milliseconds(100) : .seconds(1))).nanoseconds)
    }

    /// Says once what the operator has to look after, and that it is over.
    private func tellNotices() {
        if let exit, notices.changeResolver(exit.resolver.isUnanswered) {
            if notices.ofResolver {
                log.warning("\(Self.noNameServer)")
            } else {
                log.notice("the name servers answer again")
            }
        }
        if notices.changeStore(directory.keeper.error != nil) {
            if let error = directory.keeper.error {
                log.warning("the data folder cannot be written to", metadata: ["error": "\(error)"])
            } else {
                log.notice("the data folder can be written to again")
            }
        }
        if !notices.ofClock, let wrongClock {
            notices.ofClock = true
            log.error("\(wrongClock)")
        }
    }

    /// Begins links anew when this node has become staked: those that it made before are a client's.
    private func followStake() {
        guard notices.changeStaked(staked.contains(node)) else { return }
        guard notices.isStaked else { return log.warning("\(standingProblem)") }
        log.notice("this node is staked now")
        _ = links.closeAnonymous()
        publish()
    }

    /// Begins links without the identity for a time when no other node answers, for they may have it listed no more.
    private func followSolitude(_ now: Instant) {
        // An authority is answered whatever the registry says.
        let mayBeRefused = staked.contains(node) && !network.authorities.contains { $0.node == node }
        // A ledger that is behind has more to fetch.
        let isBehind = ledger.map { links.time.seconds > $0.state.time + 3 * (network.ledger?.blockSeconds ?? 0) + 5 }
        solitude.note(
            isLinked: linkedNodes > 0, mayBeRefused: mayBeRefused,
            isCurrentAt: isBehind == true ? nil : directory.epochs.isCurrentAt, now: now)
        if solitude.isHiding {
            if !links.hidesIdentity {
                links.hidesIdentity = true
                directory.epochs.askSoon()
                directory.neighbours.forgetFailures()
            }
            if linkedNodes == 0 { directory.neighbours.seek() }
        } else if links.hidesIdentity {
            links.hidesIdentity = false
            // Where it is listed still, as far as it has heard, the links are made anew as a node's.
            if staked.contains(node), links.closeAnonymous() { publish() }
        }
    }

    // MARK: Wishes of the operator

    /// Goes by other limits, exit rules and time to drain from now on; the rest of `new` takes a restart.
    public func apply(_ new: RelayConfiguration) {
        configuration.drainLimit = new.drainLimit
        configuration.exitRules = new.exitRules
        (configuration.rate, configuration.burst) = (new.rate, new.burst)
        sessions.rateGate.limit(rate: new.rate, burst: new.burst)
        exit?.policy.rules = new.exitRules
    }

    /// Whether it takes no new paths for now, by its operator's wish; drains, and serves again when this is false.
    ///
    /// Setting it does nothing in a relay that drains or is closed.
    public var isResting: Bool {
        get { life.isResting }
        set { life.rest(newValue, until: links.now + configuration.drainLimit) }
    }

    // MARK: End

    /// Takes no new paths, ends those over which nothing passes, waits for the others and for the streams to the outside until
    /// the configured limit, then closes.
    public func drain(completion: @escaping () -> Void) {
        let now = links.now
        guard life.drain(now: now, until: now + configuration.drainLimit, completion: completion) else { return }
        log.info("draining", metadata: ["paths": "\(paths.pathCount)"])
        tick()
    }

    /// Ends everything and tells the neighbours; `completion` follows when nothing is open any more.
    public func close(completion: @escaping () -> Void) {
        guard life.close() else { return completion() }
        timer?.close()
        sessions.close()
        requests.close()
        exit?.close()
        directory.close()
        ledger?.close()
        watching.close { [links] in links.closeAll(completion: completion) }
    }
}

/// What the operator has been told, and is told again when it has changed.
struct RelayNotices {
    private(set) var isStaked: Bool
    var ofClock = false
    private(set) var ofStore = false
    private(set) var ofResolver = false

    /// Nothing has been said; the node is staked, or not.
    init(isStaked: Bool) { self.isStaked = isStaked }

    /// True when this is news.
    mutating func changeStaked(_ value: Bool) -> Bool { Self.change(&isStaked, to: value) }
    /// True when this is news.
    mutating func changeStore(_ value: Bool) -> Bool { Self.change(&ofStore, to: value) }
    /// True when this is news.
    mutating func changeResolver(_ value: Bool) -> Bool { Self.change(&ofResolver, to: value) }

    private static func change(_ flag: inout Bool, to value: Bool) -> Bool {
        defer { flag = value }
        return flag != value
    }
}

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

/// The reason why a relay cannot run.
public enum RelayError: Error, Equatable, CustomStringConvertible {
    /// The node is not staked in the network file's snapshot, and the network has no ledger.
    case notStaked(NodeID)
    /// The address to announce is a wildcard address.
    case noAddress

    /// The fault, without a full stop.
    public var description: String {
        switch self {
        case .notStaked(let node):
            "\(node) is not a staked node of this network; use the key of a node that the network file's snapshot lists"
        case .noAddress:
            "the address to listen on cannot be announced to others"
        }
    }
}

/// The node role: links with clients and nodes, paths that pass through or end here, and the exit.
///
/// It has more members than most types because it makes and connects the parts; they keep their own state.
public final class Relay {
    let network: NetworkFile
    private(set) var configuration: RelayConfiguration
    let log: Logger
    /// How the log tells a problem.
    private let sentence: (RelayProblem) -> String
    let links: Links
    /// The other workers; nil if there are none.
    let crew: WorkerCrew?
    let publication: Publication
    let directory: RelayDirectory
    private let staked: StakedNodes
    /// The ledger of the network; nil if it has none, or the relay has another registry source.
    public let ledger: LedgerService?
    let watching: Watching
    let selfCheck: SelfCheck
    let paths: PathService
    let builds: BuildService
    let sessions: SessionHost
    let requests: RequestService
    /// The swarm store; nil if the network has none.
    let swarm: SwarmService?
    /// The exit; nil if the node is not one.
    let exit: Exit?
    private let messages: RelayMessages
    private let observer: (any RelayObserver)?
    private(set) var life = RelayLife() {
        didSet { builds.takesPaths = life.takesPaths }
    }
    var solitude = Solitude()
    private var notices: RelayNotices
    private var timer: LoopTimer?

    /// A relay on `loop`.
    ///
    /// Its sockets are open when this returns; nothing is sent before ``start()``.
    ///
    /// `registry` is the registry source. Without one it is the registry file, the network's ledger or the network
    /// file. `authority` is the key of an authority of the ledger. In a network with a ledger the node need not be
    /// staked yet. `sentence` is how the log tells a problem; it may name settings and commands of the process.
    ///
    /// The relay must be closed before it is released.
    public init(
        loop: Loop, network: NetworkFile, configuration: RelayConfiguration, identity: consuming SigningKey,
        authority: consuming SigningKey? = nil, registry: (any RegistrySource)? = nil,
        observer: (any RelayObserver)? = nil, store: Store?, log: Logger,
        sentence: @escaping (RelayProblem) -> String
    ) throws {
        self.network = network
        self.configuration = configuration
        self.log = log
        self.sentence = sentence
        self.observer = observer
        let identity = LinkIdentity(identity)
        let node = NodeID(identity.nodeID)
        guard network.ledger != nil || network.snapshot.snapshot.isStaked(node) else {
            throw RelayError.notStaked(node)
        }
        let staked = StakedNodes(network.snapshot.snapshot)
        self.staked = staked
        let authorities = Set(network.authorities.map(\.node))
        var setup = LinksConfiguration(
            network: LinkNetwork(id: network.id, packetSize: network.packetSize),
            listen: configuration.listen.map { SocketAddress($0) }, messages: RelayMessage.kinds)
        let crew = try Self.place(of: configuration, beside: loop, &setup, log: log).map {
            try WorkerCrew(on: loop, $0)
        }
        self.crew = crew
        let endpoints = NodeEndpoints()
        links = try Links(
            on: loop, configuration: setup, identity: identity,
            isStaked: { staked.contains($0) || authorities.contains($0) }, addresses: endpoints,
            others: crew?.ways(packetSize: network.packetSize))
        crew?.begin(links, maximumPaths: network.limits.paths)
        let signing = try Epochs.kept(of: network, in: store, at: links.time)
        staked.follow(signing.snapshot, digest: signing.chain.digest)
        notices = RelayNotices(isStaked: staked.contains(node))
        let nodes = try KnownNodes(
            links: links, network: network, snapshot: signing.snapshot, endpoints: endpoints, store: store)
        publication = try Publication(
            links: links, network: network, identity: identity, configuration: configuration,
            after: nodes.descriptors.descriptor(of: node, at: UnixTime(seconds: 0))?.descriptor.published)
        let neighbours = Neighbours(links: links, node: node, nodes: nodes)
        ledger =
            network.ledger == nil || registry != nil
            ? nil
            : try LedgerService(
                links: links, neighbours: neighbours, network: network, node: node, key: authority, store: store,
                log: log)
        watching = try Watching(
            links: links, network: network, identity: identity, nodes: nodes, ledger: ledger, observer: observer,
            store: store, log: log, sentence: sentence)
        let recent = RecentNodes(signing.snapshot)
        let swarm =
            network.swarms.hasStore
            ? try SwarmService(
                links: links, nodes: nodes, network: network, configuration: configuration, identity: identity,
                snapshot: signing.snapshot, folder: store, log: log)
            : nil
        self.swarm = swarm
        let followers: [(any SnapshotFollower)?] = [watching, recent, swarm]
        directory = try RelayDirectory(
            signing, links: links, neighbours: neighbours, network: network, identity: identity, registry: registry,
            file: configuration.registryFile, ledger: ledger?.source, staked: staked,
            followers: followers.compactMap(\.self), store: store, log: log)
        selfCheck = SelfCheck(links: links, node: node, neighbours: neighbours)

        let exit = configuration.isExit ? try Exit(on: loop, own: publication.own, configuration) : nil
        self.exit = exit
        var random = SecureRandom()
        let keys = try OnionKeys(now: links.now, firstLife: .seconds(.random(in: 43_200...86_400, using: &random)))
        requests = RequestService(
            links: links, nodes: nodes, recent: recent, swarm: swarm, network: network.id, node: node, keys: keys)
        sessions = SessionHost(
            on: loop, network: network,
            services: StreamServices(exit: exit?.services ?? [:], requests: requests),
            rateGate: RateGate(links: links, packetSize: network.packetSize), sessionLimit: configuration.exitSessions)
        paths = PathService(links: links, network: network, listener: sessions, crew: crew)
        crew?.serve(paths)
        builds = BuildService(links: links, paths: paths, nodes: nodes, network: network, node: node, keys: keys)
        messages = RelayMessages(
            links: links, paths: paths, builds: builds, directory: directory, ledger: ledger, watching: watching,
            requests: requests, swarm: swarm)
        links.relay = paths
        links.control = messages
    }

    var node: NodeID { publication.node }
    /// The addresses on which it listens, IPv4 first.
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
                "exit": "\(configuration.isExit)", "workers": "\(links.workers)",
            ])
    }

    /// Makes a new descriptor and spreads it.
    private func publish() {
        let descriptor = publication.renew(onionKey: builds.onionKey)
        requests.renew(keys: builds.keys, descriptor: descriptor.bytes)
        if let refusal = directory.gossip.publish(descriptor), refusal != .notStaked {
            log.warning("nodes refuse the descriptor that this node makes", metadata: ["reason": "\(refusal)"])
        }
    }

    /// Whether the onion key is another one now; without a new key, the present one stays until the next second.
    private func advanceKeys() -> Bool {
        do throws(CryptoError) {
            let isNew = try builds.advanceKeys()
            if notices.changeKeys(false) { log.notice("the onion key can be renewed again") }
            return isNew
        } catch {
            if notices.changeKeys(true) {
                log.error("the onion key cannot be renewed", metadata: ["error": "\(error)"])
            }
            return false
        }
    }

    /// Whether all threads of the relay run.
    public var runs: Bool { links.allWorkersRun }

    // MARK: Once a second

    private func tick() {
        guard !life.isClosed else { return }
        let now = links.now
        crew?.note(processorTime: links.loop.processorTime, now: now)
        paths.sweep()
        sessions.sweep(now: now)
        directory.tick()
        followStake()
        followSolitude(now)
        swarm?.tick()
        if life.takesPaths { watching.tick() }
        if let time = directory.gossip.takeRival() { publication.follow(time) }
        if advanceKeys() || publication.isDue { publish() }
        observer?.problem(cannotServe)
        tellNotices()
        // What a worker that does not run has carried is not known.
        if links.allWorkersRun, life.endsQuietPaths(now) { paths.endQuiet() }
        if life.endsAllPaths(now) {
            sessions.endSessions()
            paths.endAll()
        }
        let completion = life.note(
            paths: paths.pathCount, ends: paths.endCount, streams: sessions.streamCount, now: now)
        if let completion { close(completion: completion) }
        timer?.schedule(at: (now + (life.isDraining ? .milliseconds(100) : .seconds(1))).nanoseconds)
    }

    /// Logs new problems that the operator must deal with, and their ends.
    private func tellNotices() {
        if let exit, notices.changeResolver(exit.resolver.isUnanswered) {
            if notices.ofResolver {
                log.warning("\(sentence(.noNameServer))")
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
        if notices.changeSwarm(swarm?.problem != nil) {
            if let problem = swarm?.problem {
                log.warning("\(sentence(problem))")
            } else {
                log.notice("the swarm store takes items again")
            }
        }
        if notices.changeClock(wrongClock != nil) {
            if let wrongClock {
                log.error("\(sentence(wrongClock))")
            } else {
                log.notice("the clock agrees with those of the other nodes again")
            }
        }
    }

    /// Renews the links when this node has become staked, because it made the present ones without its identity.
    private func followStake() {
        guard notices.changeStaked(staked.contains(node)) else { return }
        guard notices.isStaked else { return log.warning("\(sentence(.standing(standing)))") }
        log.notice("this node is staked now")
        _ = links.closeAnonymous()
        publish()
    }

    /// Makes links without the identity for a time if no other node answers, because others may no longer list this
    /// node.
    private func followSolitude(_ now: Instant) {
        // Nodes answer an authority whether or not the registry lists it.
        let mayBeRefused = staked.contains(node) && !network.authorities.contains { $0.node == node }
        // While the ledger is behind, a neighbour's answer that there is no newer snapshot does not count.
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
            if linkedNodes == 0 { directory.neighbours.connectToMore() }
        } else if links.hidesIdentity {
            links.hidesIdentity = false
            // If this node is still listed as far as it knows, it makes its links again with its identity.
            if staked.contains(node), links.closeAnonymous() { publish() }
        }
    }

    // MARK: Commands of the operator

    /// Applies new limits, exit rules and the new drain limit.
    ///
    /// All other changes in `new` need a restart.
    public func apply(_ new: RelayConfiguration) {
        configuration.drainLimit = new.drainLimit
        configuration.exitRules = new.exitRules
        (configuration.rate, configuration.burst) = (new.rate, new.burst)
        sessions.rateGate.limit(rate: new.rate, burst: new.burst)
        exit?.policy.rules = new.exitRules
        (configuration.storeQuota, configuration.storeRecovery) = (new.storeQuota, new.storeRecovery)
        swarm?.apply(configuration)
    }

    /// Whether the relay rests at its operator's request: it accepts no new paths, and ends its present ones.
    ///
    /// False makes it serve again. Setting it has no effect while the relay drains or after it is closed.
    public var isResting: Bool {
        get { life.isResting }
        set { life.rest(newValue, until: links.now + configuration.drainLimit) }
    }

    // MARK: End

    /// Accepts no new paths and ends quiet ones; after the other paths and streams, or the drain limit, closes.
    ///
    /// `completion` is called when the relay is closed. Has no effect if the relay drains already or is closed.
    public func drain(completion: @escaping () -> Void) {
        let now = links.now
        guard life.drain(now: now, until: now + configuration.drainLimit, completion: completion) else { return }
        log.info("draining", metadata: ["paths": "\(paths.pathCount)"])
        tick()
    }

    /// Ends everything and tells the neighbours.
    ///
    /// `completion` is called when nothing is open any more.
    public func close(completion: @escaping () -> Void) {
        guard life.close() else { return completion() }
        timer?.close()
        sessions.close()
        requests.close()
        swarm?.stop()
        exit?.close()
        directory.close()
        ledger?.close()
        watching.close { [links, crew, swarm] in
            links.closeAll {
                crew?.close()
                guard let swarm else { return completion() }
                swarm.close(completion: completion)
            }
        }
    }
}

/// The notices that the operator has received; each is repeated only after a change.
struct RelayNotices {
    private(set) var isStaked: Bool
    private(set) var ofClock = false
    private(set) var ofStore = false
    private(set) var ofResolver = false
    private var ofSwarm = false
    private var ofKeys = false

    /// No notice was given yet.
    init(isStaked: Bool) { self.isStaked = isStaked }

    /// Returns true if the value is new.
    mutating func changeStaked(_ value: Bool) -> Bool { Self.change(&isStaked, to: value) }
    /// Returns true if the value is new.
    mutating func changeStore(_ value: Bool) -> Bool { Self.change(&ofStore, to: value) }
    /// Returns true if the value is new.
    mutating func changeSwarm(_ value: Bool) -> Bool { Self.change(&ofSwarm, to: value) }
    /// Returns true if the value is new.
    mutating func changeKeys(_ value: Bool) -> Bool { Self.change(&ofKeys, to: value) }
    /// Returns true if the value is new.
    mutating func changeResolver(_ value: Bool) -> Bool { Self.change(&ofResolver, to: value) }
    /// Returns true if the value is new.
    mutating func changeClock(_ value: Bool) -> Bool { Self.change(&ofClock, to: value) }

    private static func change(_ flag: inout Bool, to value: Bool) -> Bool {
        defer { flag = value }
        return flag != value
    }
}

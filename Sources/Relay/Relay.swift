public import Directory
public import EventLoop
internal import Link
internal import Links
public import Logging
internal import Onion
public import OnionCrypto
public import Registry
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
public final class Relay {
    private let loop: Loop
    private let network: NetworkFile
    private(set) var configuration: RelayConfiguration
    private let rateGate: RateGate
    /// Whether it takes no new paths for now, by its operator's wish; drains, and serves again when this is false.
    public var isResting = false {
        didSet {
            guard drained == nil, !isClosing else { return }
            builds.takesPaths = !isResting
            restEnd = isResting ? Instant(nanoseconds: loop.now) + configuration.drainLimit : nil
        }
    }
    let node: NodeID
    private let identity: LinkIdentity
    private let log: Logger
    private let links: Links
    private let gossip: Gossip
    private let epochs: Epochs
    private let lists: Lists
    /// The ledger of the network, where it has one.
    public let ledger: LedgerService?
    private let staked: StakedNodes
    private var wasStaked: Bool
    private let watching: Watching
    let selfCheck: SelfCheck
    private let registryFile: RegistryFile?
    let paths: PathService
    private let builds: BuildService
    let sessions: SessionHost
    /// Where the node is one.
    let exit: Exit?
    /// Where it listens, IPv4 first.
    public let listenAddresses: [Endpoint]
    let announced: [Endpoint]
    private let messages: RelayMessages
    /// Called each second with what makes the relay useless to others, or nil.
    public var onProblem: ((String?) -> Void)?
    private var timer: LoopTimer?
    private var published = UnixTime(seconds: 0)
    private var publishedExit: Descriptor.ExitSummary = []
    private var hasWarnedOfClock = false
    var solitude = Solitude()
    private var hasWarnedOfStore = false
    private var hasWarnedOfResolver = false
    private var drained: (() -> Void)?
    private var drainEnd = Instant(nanoseconds: 0)
    /// When a relay that rests ends the paths that it still has.
    private var restEnd: Instant?
    /// When a stream or association to the outside was last open here while it drains, and when its paths are looked at next.
    private var drainBusy = Instant(nanoseconds: 0), nextQuiet = Instant(nanoseconds: 0)
    /// How long nothing goes on before a drain is over: what streams that have ended sent last arrives meanwhile.
    ///
    /// A path over which nothing passes for as long ends.
    private static let drainRest = TimeSpan.seconds(2)
    private var isClosing = false

    /// A relay on `loop` with the identity `identity`; its sockets are open when this returns, nothing is sent before ``start()``.
    ///
    /// `registry` is where it learns of stakes; the network's ledger or the network file's snapshot unless something else is given.
    /// `authority` is the key of an authority of the ledger. In a network with a ledger it need not be staked yet.
    public init(
        loop: Loop, network: NetworkFile, configuration: RelayConfiguration, identity: consuming SigningKey,
        authority: consuming SigningKey? = nil, registry: (any RegistrySource)? = nil, store: Store?, log: Logger
    ) throws {
        self.loop = loop
        self.network = network
        self.configuration = configuration
        self.log = log
        let identity = LinkIdentity(identity)
        self.identity = identity
        node = NodeID(identity.nodeID)
        guard network.ledger != nil || network.snapshot.snapshot.isStaked(node) else {
            throw RelayError.notStaked(node)
        }
        let staked = StakedNodes()
        self.staked = staked
        let authorities = Set(network.authorities.map(\.node))
        let setup = LinksConfiguration(
            network: LinkNetwork(id: network.id, packetSize: network.packetSize),
            listen: configuration.listen.map { SocketAddress($0) }, messages: RelayMessage.kinds)
        links = try Links(
            on: loop, configuration: setup, identity: identity,
            isStaked: { staked.contains($0) || authorities.contains($0) })
        let addresses = links.localAddresses.map { Endpoint($0) }
        listenAddresses = addresses.filter { $0.address.v4 != nil } + addresses.filter { $0.address.v4 == nil }
        announced = configuration.announced.isEmpty ? listenAddresses : configuration.announced
        guard announced.allSatisfy({ $0.address != IPAddress(v4: 0) && $0.address != IPAddress(high: 0, low: 0) })
        else { throw RelayError.noAddress }
        ledger =
            network.ledger == nil || registry != nil
            ? nil
            : try LedgerService(
                links: links, loop: loop, network: network, node: node, key: authority, store: store, log: log)
        let clock = links
        let file = configuration.registryFile.map { path in
            RegistryFile(network, path: path, loop: loop) { clock.time }
        }
        registryFile = file
        epochs = try Epochs(
            links: links, loop: loop, network: network, identity: identity,
            registry: registry ?? file ?? ledger?.source ?? NetworkFileRegistry(network), store: store, log: log)
        staked.snapshot = epochs.snapshot
        gossip = try Gossip(
            links: links, loop: loop, network: network, node: node, snapshot: epochs.snapshot, store: store)
        links.isNodeEndpoint = { [weak gossip] in gossip?.endpoints.contains($0) ?? false }
        links.isNodeAddress = { [weak gossip] in gossip?.addresses.contains($0) ?? false }
        lists = try Lists(
            links: links, loop: loop, network: network, identity: identity, gossip: gossip, snapshot: epochs.snapshot,
            digest: epochs.digest, store: store, log: log)
        let own = Set((announced + listenAddresses).map(\.address))
        let exit =
            configuration.isExit
            ? try Exit(
                on: loop,
                policy: ExitPolicy(allowed: configuration.exitAllowed, own: own, rules: configuration.exitRules),
                resolvers: configuration.exitResolvers) : nil
        self.exit = exit
        rateGate = RateGate(links: links, loop: loop, packetSize: network.packetSize)
        sessions = SessionHost(
            on: loop, network: network, services: exit?.services ?? [:], rateGate: rateGate,
            sessionLimit: configuration.exitSessions)
        paths = PathService(links: links, network: network, listener: sessions)
        let now = Instant(nanoseconds: loop.now)
        var random = SecureRandom()
        builds = BuildService(
            links: links, paths: paths, nodes: gossip, network: network, node: node,
            keys: try OnionKeys(now: now, firstLife: .seconds(.random(in: 43_200...86_400, using: &random))))
        watching = try Watching(
            links: links, loop: loop, network: network, identity: identity, gossip: gossip, snapshot: epochs.snapshot,
            log: log)
        messages = RelayMessages(
            links: links, paths: paths, builds: builds, gossip: gossip, epochs: epochs, lists: lists, ledger: ledger,
            watching: watching)
        selfCheck = SelfCheck(links: links, loop: loop, node: node)
        selfCheck.neighbours = { [gossip] in gossip.linksToNeighbours }
        selfCheck.descriptor = { [gossip, node] in gossip.descriptor(of: node) }
        epochs.neighbours = { [gossip] in gossip.neighbours }
        epochs.seek = { [gossip] in gossip.seek() }
        epochs.onSnapshot.append { [gossip, staked, watching, lists, weak epochs] snapshot in
            staked.snapshot = snapshot
            gossip.follow(snapshot)
            if let epochs { lists.follow(snapshot, digest: epochs.digest) }
            watching.follow(snapshot)
        }
        wasStaked = staked.contains(node)
        if let ledger {
            watching.follow(ledger.state)
            ledger.onBlock.append { [watching] in watching.follow($0) }
            watching.submit = { [ledger, log] operation in
                ledger.submit(operation) { log.info("an operation of this node: \($0)") }
            }
        }
        ledger?.addresses = { [gossip] in gossip.addresses(of: $0) }
        links.relay = paths
        links.control = messages
    }

    /// Publishes the node and begins to serve.
    public func start() {
        publish()
        ledger?.begin()
        rateGate.limit(rate: configuration.rate, burst: configuration.burst)
        timer = LoopTimer(on: loop) { [weak self] in self?.tick() }
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
        // Never the same second twice, so that a new one is newer.
        published = UnixTime(seconds: max(links.time.seconds, published.seconds + 1))
        publishedExit = exitSummary
        var descriptor = Descriptor(
            node: node, published: published,
            expires: UnixTime(
                seconds: published.seconds + DescriptorStore.publishInterval * 2 + DescriptorStore.overlap),
            versions: 2...2, suites: Suite.aes256gcm.isAvailable ? 3 : 2, roles: configuration.isExit ? .exit : [],
            exit: publishedExit, bandwidth: 0,
            ipv4: announced.first { $0.address.v4 != nil },
            ipv6: announced.first { $0.address.v4 == nil }, onionKey: builds.onionKey, software: "tunic")
        descriptor.country = configuration.country
        gossip.publish(descriptor.signed(with: identity.signingKey, network: network.id))
    }

    /// What the exit lets out to: the families to which this machine has a route, or a range of which it opens.
    private var exitSummary: Descriptor.ExitSummary {
        guard configuration.isExit else { return [] }
        var summary: Descriptor.ExitSummary = [.tcp, .udp]
        let opened = configuration.exitAllowed.map { $0.address.v4 != nil }
        if opened.contains(true) || loop.hasRoute(to: .globalIPv4) { summary.insert(.ipv4) }
        if opened.contains(false) || loop.hasRoute(to: .globalIPv6) { summary.insert(.ipv6) }
        return summary
    }

    private func tick() {
        guard !isClosing else { return }
        let now = Instant(nanoseconds: loop.now)
        paths.sweep()
        sessions.sweep(now: now)
        gossip.tick()
        epochs.tick()
        lists.tick()
        followStake()
        followSolitude(now)
        if builds.takesPaths { watching.tick() }
        let age = links.time.seconds - min(links.time.seconds, published.seconds)
        // A route may come and go: at most one descriptor a minute tells of it.
        let isDue = age >= DescriptorStore.publishInterval || age >= 60 && exitSummary != publishedExit
        if builds.advanceKeys() || isDue { publish() }
        onProblem?(cannotServe)
        noteStore()
        noteResolver()
        if !hasWarnedOfClock, let wrongClock {
            hasWarnedOfClock = true
            log.error("\(wrongClock)")
        }
        if drained != nil || isResting, now >= nextQuiet {
            nextQuiet = now + Self.drainRest
            paths.endQuiet()
        }
        if let restEnd, drained == nil, now >= restEnd {
            sessions.endSessions()
            paths.endAll()
        }
        if let drained {
            if sessions.streamCount > 0 { drainBusy = now }
            // Paths that lead on are others' to use; what ends here without a stream is not.
            let isQuiet = paths.pathCount <= paths.endCount && now - drainBusy >= Self.drainRest
            if paths.pathCount == 0 || isQuiet || now >= drainEnd {
                self.drained = nil
                close(completion: drained)
            }
        }
        timer?.schedule(at: (now + (drained == nil ? .seconds(1) : .milliseconds(100))).nanoseconds)
    }

    /// What is said when names cannot be looked up.
    private static let noNameServer =
        "The name servers do not answer: names cannot be looked up; see /etc/resolv.conf, or 'exit_resolver'."

    /// Says once that the name servers do not answer, and that they do again.
    private func noteResolver() {
        guard let exit, exit.resolver.isUnanswered != hasWarnedOfResolver else { return }
        hasWarnedOfResolver.toggle()
        if hasWarnedOfResolver {
            log.warning("\(Self.noNameServer)")
        } else {
            log.notice("the name servers answer again")
        }
    }

    /// Says once that the data folder cannot be written to, and that it can be again.
    private func noteStore() {
        guard (gossip.storeError != nil) != hasWarnedOfStore else { return }
        hasWarnedOfStore.toggle()
        if let error = gossip.storeError {
            log.warning("the data folder cannot be written to", metadata: ["error": "\(error)"])
        } else {
            log.notice("the data folder can be written to again")
        }
    }

    /// Begins links anew when this node has become staked: those that it made before are a client's.
    private func followStake() {
        guard staked.contains(node) != wasStaked else { return }
        wasStaked.toggle()
        if wasStaked { log.notice("this node is staked now") } else { log.warning("\(standingProblem)") }
        if wasStaked {
            _ = links.closeAnonymous()
            publish()
        }
    }

    /// Begins links without the identity for a time when no other node answers, for they may have it listed no more.
    private func followSolitude(_ now: Instant) {
        // An authority is answered whatever the registry says.
        let mayBeRefused = staked.contains(node) && !network.authorities.contains { $0.node == node }
        // A ledger that is behind has more to fetch.
        let isBehind = ledger.map { links.time.seconds > $0.state.time + 3 * (network.ledger?.blockSeconds ?? 0) + 5 }
        solitude.note(
            isLinked: linkedNodes > 0, mayBeRefused: mayBeRefused,
            isCurrentAt: isBehind == true ? nil : epochs.isCurrentAt, now: now)
        if solitude.isHiding {
            if !links.hidesIdentity {
                links.hidesIdentity = true
                epochs.askSoon()
                gossip.forgetFailures()
            }
            if linkedNodes == 0 { gossip.seek() }
        } else if links.hidesIdentity {
            links.hidesIdentity = false
            // Where it is listed still, as far as it has heard, the links are made anew as a node's.
            if staked.contains(node), links.closeAnonymous() { publish() }
        }
    }

    // MARK: Status

    /// How many bytes it has received and sent in packets.
    public var bytesPassed: UInt64 {
        (links.counters.packetsReceived &+ links.counters.packetsSent) &* UInt64(network.packetSize)
    }

    /// What the relay is doing.
    public var status: RelayStatus {
        let counters = links.counters
        var drops = counters.drops.byName
        drops.merge(links.socketDrops, uniquingKeysWith: &+)
        for reason in DropReason.allCases where paths.drops[Int(reason.rawValue)] > 0 {
            drops[reason.name, default: 0] += paths.drops[Int(reason.rawValue)]
        }
        if let exit { drops.merge(exit.datagramDrops.byName) { $0 + $1 } }
        return RelayStatus(
            nodeID: node, addresses: listenAddresses, isExit: configuration.isExit,
            isReady: cannotServe == nil && ledger?.failure == nil && isActive && builds.takesPaths,
            problem: problem,
            isDraining: !builds.takesPaths, links: links.status.nodes + links.status.clients, paths: paths.pathCount,
            sessions: sessions.sessionCount, streams: sessions.streamCount,
            associations: exit?.associations.count ?? 0, descriptors: gossip.descriptors.count,
            snapshot: SnapshotStatus(epochs.snapshot, digest: epochs.digest, list: lists.certified?.round),
            registryProblem: epochs.problem,
            packetsIn: counters.packetsReceived, packetsOut: counters.packetsSent,
            bytesIn: counters.packetsReceived * UInt64(network.packetSize),
            bytesOut: counters.packetsSent * UInt64(network.packetSize), drops: drops, builds: builds.builds,
            refusals: builds.refusals, watching: watching.status)
    }

    /// What the operator must know, in one sentence.
    private var problem: String? {
        if isResting, drained == nil { return "It rests: the month's bytes are used up; no new paths are taken." }
        if !builds.takesPaths { return "It drains: no new paths are taken." }
        if let error = cannotServe { return error }
        if let failure = ledger?.failure { return failure }
        if !isActive { return standingProblem }
        if let problem = epochs.problem { return "The registry: \(problem)\(problem.hasSuffix(".") ? "" : ".")" }
        if let error = gossip.storeError { return "What is learnt cannot be kept: \(error)." }
        if let exit, exit.resolver.isUnanswered { return Self.noNameServer }
        return watching.status.warning
    }

    /// Whether clients may choose this node: it is staked in the trusted snapshot, and active in the ledger.
    var isActive: Bool {
        epochs.snapshot.isStaked(node) && (ledger.map { $0.state.nodes[node]?.standing == .active } ?? true)
    }

    /// Why clients may not choose this node, in one or two sentences.
    var standingProblem: String {
        let listed = epochs.snapshot.entry(of: node)?.state
        guard let state = ledger?.state else {
            return listed == .suspended
                ? watching.status.warning ?? "This node is decommissioned."
                : "This node is not staked in the snapshot of height \(epochs.snapshot.height)."
        }
        guard let own = state.nodes[node] else {
            guard let lock = state.locks.last(where: { $0.node == node }) else {
                return "This node is not registered: no path leads over it until it is; see 'tunic stake register'."
            }
            return
                "This node was deregistered: it did not serve for longer than its credit. Its stake is locked until "
                + "\(UnixTime(seconds: lock.until).dateText); to serve again, register it with another stake "
                + "('tunic stake register')."
        }
        switch own.standing {
        case .open:
            return "The stake of this node is not full: no path leads over it until it is; see 'tunic nodes'."
        case .active: return "This node is active, and is used from the next epoch on."
        case .decommissioned where own.isInMaintenance:
            return
                "This node is in maintenance until \(UnixTime(seconds: own.maintenanceEnd).dateText), as it asked; "
                + "'tunic maintenance end' has it used again before."
        case .decommissioned:
            return
                "This node is decommissioned: others found that it did not serve. It is used again when it passes their "
                + "tests, or else deregistered at \(UnixTime(seconds: own.deregistersAt).dateText) and its stake locked; "
                + "see that its UDP port can be reached, and run 'tunic relay --check'."
        }
    }

    /// This node's request for a maintenance of so many seconds, or with 0 to come back; nil where it is not registered.
    public func maintenance(_ seconds: UInt32) -> RegistryOperation? {
        guard let state = ledger?.state, state.nodes[node] != nil, state.height > 0 else { return nil }
        return RegistryOperation(
            maintaining: identity.signingKey, seconds: seconds, height: state.height, network: network.id)
    }

    /// What makes this node useless to others, in one sentence.
    private var cannotServe: String? {
        if let error = wrongClock { return error }
        guard gossip.hasHeard else { return "No other node has answered yet." }
        guard let quiet = solitude.lasts(Instant(nanoseconds: loop.now)),
            network.bootstrap.contains(where: { $0.node != node })
        else { return nil }
        return "No other node answers any more, for \(Int(quiet.inSeconds)) s; see whether this machine is online."
    }

    /// How many links with other nodes are up.
    var linkedNodes: Int { links.status.nodes }
    /// How far this machine's clock is ahead of the other nodes'; nil before any has told its time.
    var clockError: TimeSpan? { links.clockError }
    /// The snapshot that is trusted.
    public var trustedSnapshot: Snapshot { epochs.snapshot }
    /// What is wrong with the registry.
    var registryProblem: String? { ledger?.failure ?? epochs.problem }

    /// What is known of other nodes by tests.
    public var nodeTests: [NodeTest] { watching.nodeTests }

    /// Hears of each test that a node has passed, and of each node that does not serve.
    public var onTestResult: (NodeID, Bool) -> Void {
        get { watching.onResult }
        set { watching.onResult = newValue }
    }

    /// Says so when this machine's clock differs so much from the other nodes' that they refuse what this node signs.
    var wrongClock: String? {
        guard let error = links.clockError, abs(error.inSeconds) > Double(DescriptorStore.clockTolerance) else {
            return nil
        }
        let minutes = Int(abs(error.inSeconds) / 60)
        return
            "The clock of this machine is \(minutes) minutes \(error > .zero ? "ahead of" : "behind") the other nodes'; "
            + "set it, and keep it right with an NTP daemon."
    }

    /// Goes by other limits, exit rules and time to drain from now on; the rest of `new` takes a restart.
    public func apply(_ new: RelayConfiguration) {
        configuration.drainLimit = new.drainLimit
        configuration.exitRules = new.exitRules
        (configuration.rate, configuration.burst) = (new.rate, new.burst)
        rateGate.limit(rate: new.rate, burst: new.burst)
        exit?.policy.rules = new.exitRules
    }

    // MARK: End

    /// Takes no new paths, ends those over which nothing passes, waits for the others and for the streams to the outside until
    /// the configured limit, then closes.
    public func drain(completion: @escaping () -> Void) {
        guard drained == nil, !isClosing else { return }
        builds.takesPaths = false
        log.info("draining", metadata: ["paths": "\(paths.pathCount)"])
        drained = completion
        drainBusy = Instant(nanoseconds: loop.now)
        drainEnd = drainBusy + configuration.drainLimit
        tick()
    }

    /// Ends everything and tells the neighbours; `completion` follows when nothing is open any more.
    public func close(completion: @escaping () -> Void) {
        guard !isClosing else { return completion() }
        isClosing = true
        timer?.close()
        rateGate.close()
        sessions.endSessions()
        exit?.close()
        gossip.save(all: true)
        epochs.close()
        lists.close()
        ledger?.close()
        registryFile?.close()
        watching.close { [links] in links.closeAll(completion: completion) }
    }
}

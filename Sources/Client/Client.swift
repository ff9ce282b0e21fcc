public import Directory
public import EventLoop
internal import Link
internal import Links
public import Logging
internal import Services
internal import Sessions
public import Store
internal import Wire

/// The client role: ports for apps, sessions by isolation key, and the paths below them.
///
/// It has more members than most types because it makes and connects the parts; they keep their own state.
public final class Client {
    /// How often the client looks for apps that are gone but have not closed their connections.
    private static let lookPause = TimeSpan.seconds(60)

    private(set) var configuration: ClientConfiguration
    private let log: Logger
    /// How the log tells a problem.
    private let sentence: (ClientProblem) -> String
    let directory: DirectoryClient
    let pool: PathPool
    let spares: SparePaths
    let exitWatch: ExitWatch
    private let ticker: Ticker
    let sessions: ClientSessions
    let proxyPaths: ProxyPaths
    let requests: RequestCalls
    let swarm: SwarmCalls
    let services: ServiceCalls
    let associations: Associations
    let answers: AnswerRule
    let ports: ProxyPorts
    let dnsPorts: [DNSPort]
    /// The process's own streams that are bridged to sockets.
    var sockets: [ObjectIdentifier: AppSocket] = [:]
    private var labels = KeyLabels()
    private var nextLook = Instant(nanoseconds: 0)
    /// Since when nodes are asked for versions of hops without a path built or a proxy's answer; nil: they are not.
    var versionsAskedAt: Instant?

    /// A client on `loop`; its sockets are open when this returns, and nothing is sent before ``start(onReady:)``.
    ///
    /// `sentence` is how the log tells a problem; it may name settings of the process.
    public init(
        loop: Loop, network: NetworkFile, configuration: ClientConfiguration, store: Store?, log: Logger,
        sentence: @escaping (ClientProblem) -> String
    ) throws {
        self.configuration = configuration
        self.log = log
        self.sentence = sentence
        var setup = LinksConfiguration(
            network: LinkNetwork(id: network.id, packetSize: network.packetSize),
            listen: [.anyIPv4(port: 0), .anyIPv6(port: 0)], messages: PathPool.messages)
        setup.mayLackFamily = true
        setup.maximumLinks = 256
        setup.isOnSlowLine = true
        let links = try Links(on: loop, configuration: setup, identity: nil)
        ticker = Ticker(on: loop)
        let room = GuardRoom(network.limits)
        directory = try DirectoryClient(
            links: links, network: network, room: room, store: store, ticker: ticker, log: log,
            sentence: sentence)
        pool = PathPool(
            links: links, directory: directory, room: room, network: network, hopCount: configuration.hops,
            useLimit: configuration.pathUse, ticker: ticker)
        exitWatch = ExitWatch(pool: pool, interval: configuration.exitCheck)
        spares = SparePaths(pool: pool, exitWatch: exitWatch, wanted: configuration.sparePaths, loop: loop)
        sessions = ClientSessions(
            pool: pool, spares: spares, appLimit: configuration.appLimit, log: log, loop: loop)
        proxyPaths = ProxyPaths(pool: pool)
        requests = RequestCalls(on: loop, network: network.id, paths: proxyPaths)
        swarm = SwarmCalls(requests: requests, directory: directory, loop: loop)
        services = ServiceCalls(requests: requests, directory: directory, loop: loop)
        links.client = pool
        links.control = pool
        associations = Associations(idleLimit: configuration.udpIdle)
        answers = AnswerRule(allowsPrivate: network.isPrivate)
        ports = try ProxyPorts(
            on: loop, configuration: configuration, sessions: sessions, associations: associations, answers: answers,
            log: log)
        do throws(UVError) {
            dnsPorts = try DNSPort.open(configuration.dns, on: loop, sessions: sessions, answers: answers)
        } catch {
            // Leaves no socket file behind.
            ports.close()
            throw error
        }
        for port in dnsPorts { port.noteFull = { [ports] in ports.noteFull("TCP connections to the DNS port") } }
        directory.choose(
            exits: configuration.exits, avoided: configuration.avoided, own: configuration.own)
        noteUsers()
    }

    /// Logs what the kernel does not tell of the users of apps, and has it load what it needs for that before apps
    /// come.
    private func noteUsers() {
        let users = SocketUsers.ofThisProcess
        guard !configuration.listeners.isEmpty else { return }
        if !users.tells(.tcp) || !users.tells(.udp) {
            log.notice("the kernel does not tell the users of local sockets; apps of all users count as one")
        } else if !users.namespaceIsKnown {
            log.notice("/proc/self/uid_map cannot be read or is empty; apps of unknown users count as one")
        } else if !users.tellsAllApart {
            log.notice("in a user namespace the users outside of it are not told apart; apps of these count as one")
        }
    }

    var loop: Loop { pool.links.loop }

    /// Begins to build paths; `onReady` is called each time a path becomes ready after a time without one.
    public func start(onReady: @escaping () -> Void = {}) {
        if answers.allowsPrivate {
            log.notice("the network's nodes have private addresses; exits may be asked for this machine's own network")
        }
        ticker.start { [weak self] in self?.tick(onReady) }
    }

    private func tick(_ onReady: () -> Void) {
        directory.tick(hops: pool.hops)
        if directory.canChoose(hops: pool.hops) {
            pool.sweep()
            spares.sweep()
        }
        sessions.tick()
        askForVersions()
        proxyPaths.tick()
        if sessions.readiness.isReady { services.tick() }
        lookForApps(pool.now)
        exitWatch.tick(configuration.exits.isEmpty ? [] : directory.usableExits.map(\.node)) { [weak self] in
            self?.exitsChanged()
        }
        switch sessions.readiness.look() {
        case .began:
            log.info("a path is ready")
            services.pathsAreBack()
            onReady()
        case .ended:
            let leavesNothing = directory.choiceLeavesNothing(hops: pool.hops)
            log.warning("\(leavesNothing ? problem.map(sentence) ?? "" : "no path is left; building new ones")")
        case nil: break
        }
        if sessions.readiness.isWithoutPaths { sessions.failWaiting() }
        if !pool.hasReadyPath { directory.refreshSoon() }
    }

    /// Once a minute, ends the connections and streams of apps that are gone but have not closed them.
    private func lookForApps(_ now: Instant) {
        guard now >= nextLook else { return }
        nextLook = now + Self.lookPause
        ports.apps.look(now)
        for socket in sockets.values { socket.look(now) }
    }

    /// Removes one of the process's own streams, which is over.
    func ended(_ socket: AppSocket) { sockets[ObjectIdentifier(socket)] = nil }

    /// Opens the addresses of `wanted` that are not open yet.
    ///
    /// `commit` closes the addresses that `wanted` does not name, and applies its rules to the others; `abandon` closes
    /// the new ones. Connected apps stay connected.
    public func prepare(
        _ wanted: [ProxyListener]
    ) throws(UVError) -> (commit: () -> Void, abandon: () -> Void) {
        let change = try ports.prepare(wanted)
        return (
            commit: { [self] in
                change.commit()
                configuration.listeners = wanted
            }, abandon: change.abandon
        )
    }

    // MARK: Choice

    /// Applies the choice of exits and of nodes to avoid, the interval of exit checks and the number of spare paths.
    ///
    /// Sessions whose paths are no longer allowed take no new streams, and those of onion requests end.
    public func apply(_ new: ClientConfiguration) {
        configuration.exits = new.exits
        configuration.avoided = new.avoided
        configuration.exitCheck = new.exitCheck
        configuration.sparePaths = new.sparePaths
        directory.choose(exits: new.exits, avoided: new.avoided, own: configuration.own)
        exitWatch.interval = new.exitCheck
        spares.renew { !directory.mayUse($0.hops) }
        spares.keep(new.sparePaths)
        for port in dnsPorts { port.forget() }
        requests.endSessions { !directory.mayUse($0, to: .any) }
        exitsChanged()
    }

    /// Moves new streams away from exits that are down, and from paths that are no longer allowed.
    private func exitsChanged() {
        sessions.replace { session in
            // A session that has just lost its legs has no paths.
            exitWatch.isDown(session.exit) || !directory.mayUse([session.exit])
                || !session.paths.allSatisfy { directory.mayUse($0.hops) }
        }
        spares.renew { exitWatch.isDown($0.exit) }
    }

    /// Moves new streams to new paths: those of the isolation key with this `label`, or of all keys if nil.
    ///
    /// Returns the number of keys; a key with a second exit counts once. Open streams are not affected.
    public func renewPaths(label: String?) -> Int {
        let keys = Set(sessions.inUse.map(\.key)).filter { label == nil || self.label(of: $0) == label }
        for key in keys { sessions.replace(key, isOneOfMany: label == nil) }
        for port in dnsPorts where label == nil || self.label(of: port.isolation) == label {
            // Cached answers of the old exits would let the new ones recognise this client.
            port.forget()
        }
        // A proxy or a service must not recognise the new identity by the old one's sessions and answers.
        let numbers = label.map { labels.numbers(of: $0) }
        services.forget(numbers)
        requests.endSessions(of: numbers)
        if label == nil { spares.renew { _ in true } }
        return Set(keys.map(\.shown)).count
    }

    /// The random name under which a key is shown.
    func label(of key: IsolationKey) -> String { labels.label(of: key, inUse: sessions.current.keys) }

    /// Who asks for services in the name of a key.
    func caller(of key: IsolationKey) -> ServiceLookups.Caller {
        let inUse = sessions.current.keys
        return .init(
            source: labels.number(of: key.source, inUse: inUse), isolation: labels.number(of: key, inUse: inUse))
    }

    // MARK: End

    /// Ends everything and tells the guards; `completion` is called when nothing is open any more.
    public func close(completion: @escaping () -> Void) {
        guard !sessions.isClosed else { return completion() }
        ticker.close()
        ports.close()
        for port in dnsPorts { port.close() }
        sessions.close()
        services.close()
        swarm.close()
        requests.close()
        ports.apps.close()
        for socket in sockets.values { socket.end() }
        spares.close()
        pool.close()
        directory.save(all: true)
        pool.links.closeAll(completion: completion)
    }
}

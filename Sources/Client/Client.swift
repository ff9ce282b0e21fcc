public import Directory
public import EventLoop
internal import Link
internal import Links
public import Logging
internal import Onion
internal import OnionCrypto
internal import Sessions
public import Store
internal import Transport
public import Wire

/// The client role: ports for apps, sessions by isolation key, and the paths below them.
public final class Client: SessionSource {
    /// How many isolation keys may have a session at once.
    static let sessionLimit = 256

    let loop: Loop
    private(set) var configuration: ClientConfiguration
    private let packetSize: Int
    /// What nodes take of a client.
    private let limits: NetworkLimits
    private let log: Logger
    private let links: Links
    let directory: DirectoryClient
    let pool: PathPool
    let exitWatch: ExitWatch
    private let messages: ClientMessages
    private let turn: SessionTurn
    private var timer: LoopTimer?
    private var listeners: [(address: ProxyAddress, socket: StreamListener, number: Int)] = []
    /// What is kept apart at each listener, by number; at closed ones too, as long as an app is connected that came there.
    private(set) var listenerRules: [Int: ProxyListener] = [:]
    private var nextListener = 0
    private(set) var dnsPorts: [DNSPort] = []
    /// The session in which each isolation key's new streams begin.
    private(set) var sessions: [IsolationKey: ClientSession] = [:]
    /// Sessions in which none begin any more, until their streams have ended.
    private(set) var retired: [(key: IsolationKey, session: ClientSession)] = []
    /// The names under which isolation keys are shown.
    private var labels: [IsolationKey: String] = [:]
    /// Until when nothing more is said of identities that were turned away.
    private var identitiesSaidUntil = Instant(nanoseconds: 0)
    /// The keys whose sessions are being begun, with what their exits must have.
    private var beginning: [IsolationKey: Descriptor.ExitSummary] = [:]
    /// The exits that keys without a session had, which their next ones avoid.
    private(set) var lastExit: [IsolationKey: NodeID] = [:]
    /// Of how many keys.
    static let lastExitLimit = 1_024
    private(set) var waiting: [IsolationKey: AppLine] = [:]
    /// Lets apps that wait go on as soon as their exits take more streams.
    private var lineTimer: LoopTimer?
    /// How often it looks.
    private static let linePause = TimeSpan.milliseconds(20)
    private(set) var connections: [ObjectIdentifier: SocksConnection] = [:]
    private var unfinished: [SocksConnection] = []
    /// The streams of this process's own that go by sockets.
    var sockets: [ObjectIdentifier: AppSocket] = [:]
    /// How long apps that may be gone have moved nothing when they give way before unfinished handshakes do.
    var silence = TimeSpan.seconds(30)
    /// The apps that may be gone, those that have moved nothing for longest last; filled once a second at the limit.
    private var silent: [SocksConnection] = []
    private var nextSort = Instant(nanoseconds: 0)
    /// How often it looks for apps that are gone without a word.
    private static let lookPause = TimeSpan.seconds(60)
    private var nextLook = Instant(nanoseconds: 0)
    /// What all sessions together may hold in memory, in bytes; beyond it sessions end, of the key that holds most first.
    var memoryLimit = 512 << 20
    private var nextSweep = Instant(nanoseconds: 0)
    /// With how many of these it is time to forget those that have finished.
    private var unfinishedLimit = 64
    /// How many UDP associations there have been, and are.
    private var associationsMade: UInt64 = 0
    private var associations = 0
    /// Datagrams of all associations that went no further.
    var datagramDrops = DatagramDrops()
    private var hasWarnedOfAddress = false
    private var wasReady = false
    /// Since when there has been no path.
    private var lackSince: Instant
    /// How long apps wait for the first path, and for another when there is none any more: later they are told at once.
    static let patience = TimeSpan.seconds(10)
    private var isClosing = false
    /// Whether an exit's answers may hold addresses that are not public.
    var allowsPrivateAnswers: Bool
    /// Called each time the client becomes ready: a path stands.
    public var onReady: (() -> Void)?

    /// A client on `loop`; sockets are open when this returns, nothing is sent before ``start()``.
    public init(
        loop: Loop, network: NetworkFile, configuration: ClientConfiguration, store: Store?, log: Logger
    ) throws {
        self.loop = loop
        self.configuration = configuration
        self.log = log
        packetSize = network.packetSize
        limits = network.limits
        allowsPrivateAnswers = network.allowPrivateAddresses
        // The first path takes longer: much must be asked for before.
        lackSince = Instant(nanoseconds: loop.now) + Self.patience
        turn = SessionTurn(loop: loop)
        var setup = LinksConfiguration(
            network: LinkNetwork(id: network.id, packetSize: network.packetSize),
            listen: [.anyIPv4(port: 0), .anyIPv6(port: 0)], messages: ClientMessages.kinds)
        setup.mayLackFamily = true
        setup.maximumLinks = 256
        links = try Links(on: loop, configuration: setup, identity: nil)
        directory = try DirectoryClient(links: links, loop: loop, network: network, store: store, log: log)
        pool = PathPool(
            links: links, loop: loop, directory: directory, network: network, hopCount: configuration.hops,
            useLimit: configuration.pathUse, spares: configuration.sparePaths)
        messages = ClientMessages(links: links, pool: pool)
        exitWatch = ExitWatch(pool: pool, loop: loop)
        links.client = pool
        links.control = messages
        loop.addAtTurnEnd { [turn] in turn.run() }
        do {
            for listener in configuration.listeners { listeners.append(try listen(listener)) }
            for (index, address) in configuration.dns.enumerated() {
                do throws(UVError) {
                    dnsPorts.append(try DNSPort(on: loop, at: address, number: index, client: self))
                } catch {
                    throw error.at(address.description)
                }
            }
        } catch {
            // No socket file is left behind.
            for listener in listeners { listener.socket.close() }
            for port in dnsPorts { port.close() }
            throw error
        }
        directory.choose(
            exits: configuration.exits, avoided: configuration.avoided, own: configuration.own)
        exitWatch.interval = configuration.exitCheck
        pool.exitsToAvoid = { [weak exitWatch] in exitWatch?.down ?? [] }
        exitWatch.changed = { [weak self] in self?.exitsChanged() }
        directory.changed = { [weak self] in
            if let self, directory.canChoose(hops: self.configuration.hops) { pool.fillSpares() }
        }
        pool.pathReady = { [weak self] in self?.becameReady() }
        pool.giveWay = { [weak self] in self?.giveWay() ?? false }
        lineTimer = LoopTimer(on: loop) { [weak self] in self?.advanceLines() }
    }

    /// Begins to build paths.
    public func start() {
        timer = LoopTimer(on: loop) { [weak self] in self?.tick() }
        tick()
    }

    private func tick() {
        guard !isClosing else { return }
        directory.tick(hops: configuration.hops)
        if directory.canChoose(hops: configuration.hops) { pool.sweep() }
        let now = Instant(nanoseconds: loop.now)
        for (key, session) in sessions {
            session.keep(now)
            // Another may have begun in its place.
            guard !session.isOver else { continue }
            let isDistrusted = pool.trust.isDistrusted(session.exit, at: now, since: session.since)
            if isDistrusted { log.notice("an exit ended several paths too soon; new streams go elsewhere") }
            if session.isRefused { log.notice("an exit takes no more streams of one key; new ones go elsewhere") }
            if session.exitDrains || isDistrusted || session.isRefused { replace(key) }
        }
        pool.endSpares { pool.trust.isDistrusted($0.exit, at: now, since: $0.since) }
        for (_, session) in retired { session.keep(now) }
        retired.removeAll { $0.session.isOver }
        if now >= nextLook {
            nextLook = now + Self.lookPause
            for connection in connections.values { connection.look(now) }
            for socket in sockets.values { socket.look(now) }
            forgetSilentApps()
        }
        if now >= nextSweep {
            nextSweep = now + .seconds(1)
            sweepMemory(now)
        }
        exitWatch.tick(configuration.exits.isEmpty ? [] : directory.usableExits.map(\.node))
        if wasReady, !isReady {
            wasReady = false
            let leavesNothing = directory.choiceLeavesNothing(hops: configuration.hops)
            log.warning("\(leavesNothing ? problem ?? "" : "no path is left; building new ones")")
        }
        if !wasReady, isReady { becameReady() }
        if isReady { lackSince = now } else if isWithoutPaths { failWaiting() }
        if !pool.hasReadyPath { directory.refreshSoon() }
        timer?.schedule(at: (now + .milliseconds(200)).nanoseconds)
    }

    /// Ends some sessions where all together hold too much.
    private func sweepMemory(_ now: Instant) {
        let all = sessions.map { (key: $0.key, session: $0.value) } + retired
        let holders = all.map { $0.session.holder(for: $0.key.shown, now) }
        for number in MemoryHolder.losers(of: holders, limit: memoryLimit) {
            log.notice("sessions hold too much memory; one whose apps do not read was ended")
            all[number].session.end()
        }
    }

    /// Whether new streams have a path.
    private var isReady: Bool {
        pool.hasReadyPath && !directory.choiceLeavesNothing(hops: configuration.hops)
    }

    /// Whether there has been no path for so long that apps need not wait for one.
    private var isWithoutPaths: Bool { !isReady && Instant(nanoseconds: loop.now) - lackSince >= Self.patience }

    /// Tells the apps that wait that there is no path.
    private func failWaiting() {
        for key in Array(waiting.keys) where sessions[key] == nil {
            var line = waiting.removeValue(forKey: key)
            while let app = line?.next() { app.fail(.noPath) }
        }
    }

    private func becameReady() {
        guard !wasReady, isReady else { return }
        wasReady = true
        log.info("a path is ready")
        onReady?()
    }

    // MARK: Apps

    private func accepted(_ socket: ByteStream, by listener: Int) {
        // TCP is looked at where it is taken; unix sockets are let through there for the control socket.
        guard socket.kind == .tcp || loop.hasDescriptorsToSpare else { return socket.close() }
        // Now and then, so that many who say nothing cost a newcomer nothing.
        if unfinished.count >= unfinishedLimit {
            unfinished.removeAll { !$0.isUnfinished }
            unfinishedLimit = max(64, unfinished.count * 2)
        }
        if connections.count >= configuration.appLimit {
            guard makeRoom() else { return socket.close() }
        }
        let connection = SocksConnection(socket: socket, listener: listener, client: self)
        connections[ObjectIdentifier(connection)] = connection
        unfinished.append(connection)
    }

    /// Ends a connection for a newcomer's: one whose app has long been silent and may be gone, or the oldest unfinished handshake,
    /// or one whose app may be gone.
    private func makeRoom() -> Bool {
        let now = Instant(nanoseconds: loop.now)
        if now >= nextSort {
            nextSort = now + .seconds(1)
            silent = connections.values.filter { $0.deafSince != nil }
                .sorted { ($0.deafSince ?? now) > ($1.deafSince ?? now) }
        }
        while let app = silent.last, app.deafSince == nil { silent.removeLast() }
        if let app = silent.last, let since = app.deafSince, now - since >= silence {
            silent.removeLast()
            app.end()
            return true
        }
        if let place = unfinished.firstIndex(where: \.isUnfinished) {
            let oldest = unfinished[place]
            unfinished.removeFirst(place + 1)
            oldest.end()
            return true
        }
        guard let app = silent.popLast() else { return false }
        app.end()
        return true
    }

    /// Has the next newcomer at the limit look for silent apps anew.
    func forgetSilentApps() {
        silent = []
        nextSort = Instant(nanoseconds: 0)
    }

    /// A number for a UDP association that begins; nil when there are too many.
    func beginAssociation() -> UInt64? {
        guard associations < AppAssociation.limit else { return nil }
        associations += 1
        associationsMade += 1
        return associationsMade
    }

    /// A UDP association is over.
    func endedAssociation() { associations -= 1 }

    /// How long an app may take to say what it wants.
    var handshakeLimit: TimeSpan { configuration.handshakeLimit }

    /// How long a UDP association lives without a datagram.
    var udpIdle: TimeSpan { configuration.udpIdle }

    /// What is kept apart, and refused, of apps that come to the address number `listener`.
    func rules(of listener: Int) -> ProxyListener {
        guard let rules = listenerRules[listener] else {
            preconditionFailure("the rules of a listener outlive its apps")
        }
        return rules
    }

    /// Whether an app that came to the address number `listener` may reach `host`.
    ///
    /// Who asks for an address may have looked its name up without us, which is said once, and refused where names only are let out.
    /// Addresses that no name server gives out, and those of our own checks, are not spoken of.
    func admits(_ host: Destination.Host, at listener: Int, isCheck: Bool = false) -> Bool {
        guard case .address(let address) = host else {
            if case .name(let name) = host { return !Self.isNowhere(name) }
            return false
        }
        guard let rules = listenerRules[listener] else { return false }
        let refused = rules.namesOnly
        if !isCheck, address.isPublic { noteAddress(refused: refused) }
        return !refused
    }

    /// Whether `name` is one that no exit is asked for; `localhost` is the exit's, as its policy says.
    static func isNowhere(_ name: HostName) -> Bool {
        switch LocalName(name) {
        case .nowhere, .node: true
        case .localhost, nil: false
        }
    }

    private func noteAddress(refused: Bool) {
        guard !hasWarnedOfAddress else { return }
        hasWarnedOfAddress = true
        let what = refused ? "is refused, for it asks" : "asks"
        log.warning(
            "an app \(what) for an address instead of a name; if it looked a name up by itself, others have seen the name"
        )
    }

    /// Says that identities were turned away, once a minute at most.
    private func noteIdentities() {
        let now = Instant(nanoseconds: loop.now)
        guard now >= identitiesSaidUntil else { return }
        identitiesSaidUntil = now + .seconds(60)
        log.warning(
            "too many identities (\(Self.sessionLimit)) are in use; an app with one more user name, password or address was turned away"
        )
    }

    /// How many apps are connected.
    var connectionCount: Int { connections.count }

    /// An app's connection is over.
    func ended(_ connection: SocksConnection) { connections[ObjectIdentifier(connection)] = nil }

    /// A stream of this process's own is over.
    func ended(_ socket: AppSocket) { sockets[ObjectIdentifier(socket)] = nil }

    /// Gives the app a stream of its isolation key's session, now or when there is one; its own deadline bounds the wait.
    ///
    /// Where that session's exit lacks what the app needs, the key has a second one to an exit that has it.
    func connect(_ app: some SessionApp, isolation: IsolationKey, needs: Descriptor.ExitSummary = []) {
        guard !isClosing else { return app.fail(.noPath) }
        var (isolation, needs) = (isolation, needs)
        if !needs.isEmpty {
            // An exit that all of the key's streams can use, where there is one.
            let forAll = needs.union(.ipv4)
            let isFitting =
                sessions[isolation].map { directory.fits($0.exit, needs) }
                ?? beginning[isolation]?.isSuperset(of: needs) ?? directory.hasExit(with: forAll)
            if isFitting { needs = forAll } else { isolation.needs = needs }
        }
        if let session = sessions[isolation] {
            // Those that came before go first.
            if !isWaiting(isolation), session.takesStream(Instant(nanoseconds: loop.now)) {
                return app.open(on: session.session)
            }
            if session.isFull { retire(isolation) }
        }
        // It would wait in vain.
        guard !directory.choiceLeavesNothing(hops: configuration.hops), sessions[isolation] != nil || !isWithoutPaths
        else {
            return app.fail(.noPath)
        }
        if waiting[isolation] == nil, sessions[isolation] == nil, sessions.count + beginning.count >= Self.sessionLimit
        {
            guard let idle = longestIdle else {
                noteIdentities()
                return app.fail(.tooManyIdentities(Self.sessionLimit))
            }
            idle.end()
        }
        guard waiting[isolation]?.count ?? 0 < configuration.appLimit else { return app.fail(.noPath) }
        waiting[isolation, default: AppLine()].append(app)
        if sessions[isolation] == nil { begin(isolation, needs: needs) } else { advanceSoon() }
    }

    /// Whether apps wait for a stream of the key's session.
    private func isWaiting(_ key: IsolationKey) -> Bool { waiting[key]?.isWaiting ?? false }

    /// Whether an app of this key that has waited for long may wait on: there is a session whose exit takes a few streams at a
    /// time, or paths are built one after the other.
    func mayWaitOn(_ key: IsolationKey) -> Bool {
        sessions.keys.contains { $0.shown == key.shown } || pool.isAdvancing
    }

    private func advanceSoon() {
        // One that is set stays: those who come must not put off those who wait.
        guard lineTimer?.deadline == nil else { return }
        lineTimer?.schedule(at: (Instant(nanoseconds: loop.now) + Self.linePause).nanoseconds)
    }

    /// Opens streams for the apps that wait, of every key that has a session.
    private func advanceLines() {
        guard !isClosing else { return }
        for key in waiting.keys where sessions[key] != nil { openWaiting(key) }
        if waiting.keys.contains(where: { sessions[$0] != nil }) { advanceSoon() }
    }

    /// Ends a path that an identity can do without for one that has none: by preference of those that nobody uses.
    private func giveWay() -> Bool {
        let now = Instant(nanoseconds: loop.now)
        let idle = sessions.values.filter { $0.idleSince != nil && $0.isIdle }
            .sorted { ($0.idleSince ?? now) < ($1.idleSince ?? now) }
        if idle.contains(where: { $0.giveStandby() }) { return true }
        if let first = idle.first, now - (first.idleSince ?? now) >= ClientSession.standbyLimit {
            first.end()
            return true
        }
        if sessions.values.contains(where: { $0.giveStandby() }) { return true }
        idle.first?.end()
        return !idle.isEmpty
    }

    /// The session that has been without streams for the longest time.
    private var longestIdle: ClientSession? {
        sessions.values.filter(\.isIdle).min {
            ($0.idleSince ?? Instant(nanoseconds: .max)) < ($1.idleSince ?? Instant(nanoseconds: .max))
        }
    }

    /// Begins a session for `key` as soon as there is a path, to an exit with `needs`.
    private func begin(_ key: IsolationKey, needs: Descriptor.ExitSummary = []) {
        guard sessions[key] == nil, beginning[key] == nil else { return }
        let needs = needs.union(key.needs)
        beginning[key] = needs
        let isWanted = { [weak self] in self?.isWaiting(key) ?? false }
        pool.takeSpare(avoiding: lastExit[key], needs: needs, isWanted: isWanted) { [weak self] path in
            guard let self else { return }
            beginning[key] = nil
            guard let path else {
                waiting[key] = nil
                return
            }
            guard path.state == .ready else { return begin(key, needs: needs) }
            let session = ClientSession(
                turn: turn, pool: pool, path: path, payloadSize: packetSize - Packet.payloadOffset, limits: limits,
                now: Instant(nanoseconds: loop.now))
            session.ended = { [weak self, weak session] in
                guard let self, let session else { return }
                guard sessions[key] === session else { return }
                sessions[key] = nil
                noteExit(session.exit, of: key)
                if isWaiting(key) { begin(key) }
            }
            sessions[key] = session
            lastExit[key] = nil
            session.streamsAvailable = { [weak self] in self?.openWaiting(key) }
            openWaiting(key)
        }
    }

    /// Opens streams for the apps that wait, as far as the session has room.
    private func openWaiting(_ key: IsolationKey) {
        guard let session = sessions[key] else { return }
        let now = Instant(nanoseconds: loop.now)
        while isWaiting(key), session.takesStream(now), let app = waiting[key]?.next() { app.open(on: session.session) }
        guard isWaiting(key) else {
            waiting[key] = nil
            return
        }
        guard session.isFull else { return advanceSoon() }
        retire(key)
        begin(key)
    }

    // MARK: Listeners

    private func listen(
        _ listener: ProxyListener
    ) throws(UVError) -> (address: ProxyAddress, socket: StreamListener, number: Int) {
        let number = nextListener
        let socket: StreamListener
        do throws(UVError) {
            socket = try listener.address.listen(on: loop) { [weak self] in self?.accepted($0, by: number) }
        } catch {
            throw error.at(listener.address.description)
        }
        listenerRules[number] = listener
        nextListener += 1
        return (listener.address, socket, number)
    }

    /// Opens what `wanted` names and is not open; `commit` closes the rest, `abandon` what was opened.
    ///
    /// Apps that are connected stay so.
    public func prepare(
        _ wanted: [ProxyListener]
    ) throws(UVError) -> (commit: () -> Void, abandon: () -> Void) {
        var opened: [(address: ProxyAddress, socket: StreamListener, number: Int)] = []
        var kept: [(number: Int, rules: ProxyListener)] = []
        do throws(UVError) {
            for listener in wanted {
                let taken = kept.map(\.number)
                let there = listeners.first { $0.address == listener.address && !taken.contains($0.number) }
                if let there { kept.append((there.number, listener)) } else { opened.append(try listen(listener)) }
            }
        } catch {
            for listener in opened { listener.socket.close() }
            throw error
        }
        return (
            commit: { [self] in
                for listener in listeners where !kept.contains(where: { $0.number == listener.number }) {
                    listener.socket.close()
                }
                listeners.removeAll { listener in !kept.contains { $0.number == listener.number } }
                for (number, rules) in kept { listenerRules[number] = rules }
                listeners += opened
                configuration.listeners = wanted
                forgetRules()
            },
            abandon: { [self] in
                for listener in opened { listener.socket.close() }
                forgetRules()
            }
        )
    }

    /// Forgets the rules of listeners that are closed and that no app is connected by.
    private func forgetRules() {
        let used = Set(listeners.map(\.number)).union(connections.values.map(\.listener))
        listenerRules = listenerRules.filter { used.contains($0.key) }
    }

    // MARK: Choice

    /// The name under which a key is shown: random, and the same as long as the process runs.
    func label(of key: IsolationKey) -> String {
        let key = key.shown
        if let label = labels[key] { return label }
        if labels.count >= 4 * Self.sessionLimit {
            let shown = Set(sessions.keys.map(\.shown))
            labels = labels.filter { shown.contains($0.key) }
        }
        let letters = Array("bcdfghjkmnpqrstvwxz")
        let label = String((0..<5).map { _ in SecureRandom.element(of: letters) ?? "x" })
        labels[key] = label
        return label
    }

    /// Lets the key's streams go on as they are, and begins new ones on another path.
    func retire(_ key: IsolationKey) {
        guard let session = sessions.removeValue(forKey: key) else { return }
        session.isRetired = true
        noteExit(session.exit, of: key)
        if retired.count >= Self.sessionLimit {
            let place = retired.firstIndex { $0.session.streamCount == 0 } ?? 0
            retired.remove(at: place).session.end()
        }
        retired.append((key, session))
        session.keep(Instant(nanoseconds: loop.now))
    }

    /// Has the key's next session go to another exit than `exit`.
    func noteExit(_ exit: NodeID, of key: IsolationKey) {
        if lastExit.count >= Self.lastExitLimit, lastExit[key] == nil, let other = lastExit.keys.first {
            lastExit[other] = nil
        }
        lastExit[key] = exit
    }

    /// Retires the key's session, and begins another where apps wait for it.
    func replace(_ key: IsolationKey) {
        retire(key)
        if isWaiting(key) { begin(key) }
    }

    /// Goes by another choice of exits and nodes to avoid, and another number of spare paths, from now on.
    ///
    /// Sessions whose paths are no longer wanted take no new streams.
    public func apply(_ new: ClientConfiguration) {
        configuration.exits = new.exits
        configuration.avoided = new.avoided
        configuration.exitCheck = new.exitCheck
        configuration.sparePaths = new.sparePaths
        directory.choose(exits: new.exits, avoided: new.avoided, own: configuration.own)
        exitWatch.interval = new.exitCheck
        pool.renewSpares { !directory.mayUse($0.hops) }
        pool.keepSpares(new.sparePaths)
        for port in dnsPorts { port.forget() }
        exitsChanged()
    }

    /// Takes new streams away from exits that do not work, or are not wanted any more.
    private func exitsChanged() {
        for (key, session) in sessions {
            let isWanted = session.paths.allSatisfy { directory.mayUse($0.hops) }
            if exitWatch.isDown(session.exit) || !isWanted { replace(key) }
        }
        pool.renewSpares { exitWatch.isDown($0.exit) }
    }

    // MARK: Status

    /// Where apps are awaited.
    public var socksAddresses: [ProxyAddress] {
        listeners.map { $0.socket.localAddress.map { .tcp(Endpoint($0)) } ?? $0.address }
    }

    /// Where DNS is answered.
    public var dnsAddresses: [Endpoint] { dnsPorts.map(\.address) }

    /// Whether an app may be told an address that an exit has found.
    ///
    /// An exit or a name's owner that answers with an address of this machine or of its network would lead an app to what is
    /// behind its firewall (DNS rebinding).
    func mayTell(_ address: IPAddress) -> Bool { allowsPrivateAnswers || address.leadsToPublic }

    /// What the client is doing.
    public var status: ClientStatus {
        let counters = links.counters
        var drops = counters.drops.byName
        drops.merge(links.socketDrops, uniquingKeysWith: &+)
        for reason in DropReason.allCases where pool.drops[Int(reason.rawValue)] > 0 {
            drops[reason.name, default: 0] += pool.drops[Int(reason.rawValue)]
        }
        drops.merge(datagramDrops.byName) { $0 + $1 }
        return ClientStatus(
            socks: socksAddresses, socksFlags: listeners.map { rules(of: $0.number).flags }, dns: dnsAddresses,
            isReady: isReady, problem: problem,
            links: links.status.nodes,
            sessions: sessions.count + retired.count,
            streams: (Array(sessions.values) + retired.map(\.session)).reduce(0) { $0 + $1.streamCount },
            associations: associations,
            descriptors: directory.descriptorCount, snapshot: directory.snapshotStatus,
            witnesses: directory.witnesses.count, isContradicted: directory.isContradicted,
            packetsIn: counters.packetsReceived,
            packetsOut: counters.packetsSent, bytesIn: counters.packetsReceived * UInt64(packetSize),
            bytesOut: counters.packetsSent * UInt64(packetSize), drops: drops, builds: pool.builds,
            failedBuilds: pool.failedBuilds, buildTimes: pool.buildTimes)
    }

    /// What is missing or wrong, in one sentence.
    private var problem: String? {
        guard !isReady else {
            return directory.storeError.map { "What is learnt cannot be kept: \($0)." } ?? directory.clockProblem
        }
        if let problem = directory.staleness { return problem }
        if let problem = directory.clockProblem, !directory.canChoose(hops: configuration.hops) { return problem }
        if let lack = directory.lack, directory.hasFetched || directory.guards.sample.isEmpty { return lack }
        if let choice = directory.choice, choice.nodes >= configuration.hops {
            if choice.exits == 0 { return "None of the \(choice.nodes) nodes that are known is an exit." }
            if choice.usableExits == 0 {
                return "None of the exits known (\(choice.exits)) may be used; look at client.exits and client.avoid."
            }
            if choice.hops < configuration.hops {
                return "\(choice.hops) of the \(choice.nodes) nodes that are known may be used, too few for a path of "
                    + "\(configuration.hops) hops; look at client.avoid."
            }
        }
        if !directory.canChoose(hops: configuration.hops) {
            return "\(directory.descriptorCount) of \(directory.nodeCount) nodes are known, too few for a path of "
                + "\(configuration.hops) hops; no node of the network file may be reachable."
        }
        return switch pool.lastFailure {
        case .noChoice(let refusal): "No hops can be chosen: \(refusal)."
        case .noDescriptor: "The descriptor of a chosen hop is not known yet."
        case .guardUnreachable: "No guard can be reached; check the network connection."
        case .refused(let hop, let status):
            "Hop \(hop + 1) did not build a path (\(status.map { "\($0)" } ?? "no reason given"))."
        case .timedOut: "Builds of paths are not answered in time."
        case .unbuildable: "A chosen hop names keys that this client cannot use."
        case nil: "The first path is being built."
        }
    }

    /// All paths, those with traffic first.
    public var paths: [PathStatus] {
        let now = Instant(nanoseconds: loop.now)
        return pool.all.map { path in
            PathStatus(
                hops: path.hops, state: path.state == .ready ? .ready : path.state == .building ? .building : .dead,
                isActive: path.session?.isActive(path) ?? false, age: now - path.since,
                guardRoundTrip: path.link.flatMap { links.roundTrip(of: $0) },
                roundTrip: path.session?.roundTrip(of: path), buildTime: path.buildTime, bytesIn: path.bytesIn,
                bytesOut: path.bytesOut)
        }.sorted { $0.isActive && !$1.isActive }
    }

    // MARK: End

    /// Ends everything and tells the guards; `completion` follows when nothing is open any more.
    public func close(completion: @escaping () -> Void) {
        guard !isClosing else { return completion() }
        isClosing = true
        timer?.close()
        lineTimer?.close()
        for listener in listeners { listener.socket.close() }
        for port in dnsPorts { port.close() }
        for session in Array(sessions.values) + retired.map(\.session) { session.end() }
        for connection in connections.values { connection.end() }
        for socket in sockets.values { socket.end() }
        pool.close()
        directory.save(all: true)
        links.closeAll(completion: completion)
    }
}

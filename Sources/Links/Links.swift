public import EventLoop
public import Link
internal import Messages
internal import OnionCrypto
public import Wire

/// The links of one worker: its sockets, the link table, and each link's control connection.
///
/// Relay and client both stand on it. It belongs to the loop's thread, and callbacks run there. Handlers are held weakly.
public final class Links {
    /// The loop.
    public let loop: Loop
    /// What was configured.
    public let configuration: LinksConfiguration
    /// Takes data packets whose path id's table index has its top bit clear.
    public weak var relay: (any PacketHandler)?
    /// Takes data packets whose path id's table index has its top bit set.
    public weak var client: (any PacketHandler)?
    /// Takes control messages and hears of links.
    public weak var control: (any ControlHandler)?

    let identity: LinkIdentity?
    let isStaked: (NodeID) -> Bool
    let wallClock: () -> UInt64
    /// A clock that runs on while the machine sleeps and that nobody sets, in nanoseconds.
    let runningClock: () -> UInt64
    /// Whose opinion a node's time is, by its operator; nil for a node whose time counts for nothing.
    ///
    /// It must not call back.
    public var operatorOf: (NodeID) -> Bytes32? = { $0.key }
    /// Whether a node begins links as a client does, without its identity.
    ///
    /// Handshakes under way that do otherwise end when it changes.
    public var hidesIdentity = false {
        didSet { if hidesIdentity != oldValue { endHandshakes() } }
    }
    /// Whether the descriptor of a staked node names an endpoint, so that initiations from there need no cookie under load.
    ///
    /// It must not call back.
    public var isNodeEndpoint: (Endpoint) -> Bool = { _ in false }
    /// The same of an address with any port: a node tests others from ports of its own.
    ///
    /// It must not call back.
    public var isNodeAddress: (IPAddress) -> Bool = { _ in false }
    /// The state that packets touch; nothing keeps an access to it while handlers other than `PacketHandler` run.
    var table: LinkTable
    var sorted: SortedBatch
    var sockets: [DatagramSocket] = []
    let responder: ResponderState?
    var halfOpen: HalfOpenLinks<LinkID, LinkSource>
    /// Who holds the places of the table.
    var places: LinkPlaces<LinkID>
    /// The control messages that peers may send.
    let messages: MessageTable
    /// What long answers hold.
    var answers: AnswerMemory<ControlResponder>
    /// Control messages of all links of one address.
    var messageRates: SourceRates
    var clock: ClockEstimate
    /// By place in the table.
    var links: [ControlLink?] = []
    /// The link that is used for each node.
    var nodes: [NodeID: LinkID] = [:]
    /// Handshakes of ours, by receiver index.
    var handshakes: [UInt32: PendingHandshake] = [:]
    /// The same, by node.
    var handshakesByNode: [NodeID: PendingHandshake] = [:]
    /// Those that strangers had begun, by whom: a quarter is left to this end's own.
    var handshakeShares: Shares<LinkSource>
    var wanted: [WantedLink] = []
    /// What runs at the end of the turn, outside of any call to this object.
    var deferred: [() -> Void] = []
    /// Links with something to send.
    var dirty: [ControlLink] = []
    /// Fires at the end of a turn in which something was left to do.
    var turnTimer: LoopTimer?
    /// Fires when some link wants a look.
    var sweepTimer: LoopTimer?
    var lastSweep: Instant
    var isClosing = false

    /// Opens the sockets.
    ///
    /// `identity` is a node's; a client has none and takes no handshakes. `isStaked` tells which nodes may begin links; it must
    /// not call back. `wallClock` is nanoseconds since 1970, and `runningClock` goes on while the machine sleeps: the loop's
    /// clocks unless others are given.
    public init(
        on loop: Loop, configuration: LinksConfiguration, identity: LinkIdentity?,
        isStaked: @escaping (NodeID) -> Bool = { _ in false }, wallClock: (() -> UInt64)? = nil,
        runningClock: (() -> UInt64)? = nil
    ) throws(UVError) {
        self.loop = loop
        self.configuration = configuration
        self.identity = identity
        self.isStaked = isStaked
        self.wallClock = wallClock ?? { loop.wallClock }
        self.runningClock = runningClock ?? { loop.runningClock }
        let now = Instant(nanoseconds: loop.now)
        table = LinkTable(
            capacity: configuration.maximumLinks, packetSize: configuration.network.packetSize,
            worker: configuration.worker, now: now)
        sorted = SortedBatch(packetSize: configuration.network.packetSize)
        halfOpen = HalfOpenLinks(limit: configuration.maximumHalfOpen, lifetime: configuration.halfOpenTime)
        messages = MessageTable(configuration.messages)
        answers = AnswerMemory(bytes: configuration.answerMemory, longest: messages.longestAnswer)
        places = LinkPlaces(capacity: configuration.maximumLinks)
        let messages = configuration.clientMessages
        let factor = configuration.addressRateFactor
        messageRates = SourceRates(
            rate: messages.rate * factor, burst: messages.burst * factor, capacity: configuration.maximumLinks)
        let ofStrangers = max(1, configuration.maximumHandshakes - configuration.maximumHandshakes / 4)
        handshakeShares = Shares(capacity: ofStrangers, most: ofStrangers)
        clock = ClockEstimate()
        lastSweep = now
        if let identity {
            responder = ResponderState(
                LinkResponder(
                    network: configuration.network, identity: identity, limits: configuration.responder, now: now))
        } else {
            responder = nil
        }
        try openSockets()
        turnTimer = LoopTimer(on: loop) { [weak self] in self?.turn() }
        sweepTimer = LoopTimer(on: loop) { [weak self] in self?.sweep() }
    }

    deinit { for socket in sockets { socket.close() } }

    /// The loop's present moment.
    public var now: Instant { Instant(nanoseconds: loop.now) }

    // MARK: Sockets

    func openSockets() throws(UVError) {
        let inlet = Inlet(self)
        var failure: UVError?
        for address in configuration.listen {
            do throws(UVError) {
                var options = configuration.socket
                options.answersWhereAsked = identity != nil
                let socket = try DatagramSocket(on: loop, bindTo: address, configuration: options, receiver: inlet)
                sockets.append(socket)
                let unretained = unsafe Unmanaged.passUnretained(socket)
                if address.isIPv4 { unsafe table.socketV4 = unretained } else { unsafe table.socketV6 = unretained }
            } catch {
                guard configuration.mayLackFamily else { throw error.at(address.description) }
                failure = error
            }
        }
        if sockets.isEmpty, let failure { throw failure }
    }

    /// Whether there is a socket for the address and this machine has a route to it now.
    public func reaches(_ endpoint: Endpoint) -> Bool {
        let address = SocketAddress(endpoint)
        return table.socket(for: address) != nil && loop.hasRoute(to: address)
    }

    /// Opens new sockets in place of the present ones, after the network has changed; links stay and tell their peers.
    ///
    /// Not to be called from a packet handler. When it throws, the old sockets are gone and no new ones may be open.
    public func rebind() throws(UVError) {
        closeSockets()
        try openSockets()
        for case .some(let link) in links where link.isOpen {
            link.exchange.ping()
            markDirty(link)
        }
    }

    func closeSockets() {
        for socket in sockets { socket.close() }
        sockets = []
        unsafe table.socketV4 = nil
        unsafe table.socketV6 = nil
    }

    /// The addresses that the sockets are bound to.
    public var localAddresses: [SocketAddress] { sockets.map(\.localAddress) }

    /// How many packets may have been sent in all (``LinkCounters/packetsSent``) until those that arrive are left to wait, for a limit of
    /// the rate: looked at after each batch.
    public var sendCeiling = UInt64.max {
        didSet { isReceivePaused = !maySend }
    }

    /// Whether ``sendCeiling`` is not reached.
    public var maySend: Bool { table.counters.packetsSent < sendCeiling }

    /// Whether packets that arrive are left to wait in the kernel.
    var isReceivePaused = false {
        didSet {
            guard isReceivePaused != oldValue else { return }
            for socket in sockets { socket.isReceivePaused = isReceivePaused }
        }
    }

    /// Lets about `size` bytes of packets wait in the kernel of each socket that there is now, 0: as many as they were opened with.
    public func limitReceiveBuffer(to size: Int) {
        for socket in sockets { socket.limitReceiveBuffer(to: size) }
    }

    // MARK: Packets

    /// Gives access to the table, for sending packets outside of `PacketHandler.receive`; must not be nested.
    public func withTable<R>(_ body: (inout LinkTable) -> R) -> R {
        table.now = now
        defer { armSweep() }
        return body(&table)
    }

    // MARK: State

    /// The wall clock: a node's own; a client's own unless several operators' nodes agree that it is wrong.
    public var time: UnixTime { identity == nil ? clock.time(own: ownTime, at: running) : ownTime }

    /// What the machine's own wall clock says.
    public var ownTime: UnixTime { UnixTime(seconds: wallClock() / 1_000_000_000) }

    /// The moment on the clock that runs on while the machine sleeps.
    public var running: Instant { Instant(nanoseconds: runningClock()) }

    /// What the nodes that were linked to say that the time is; nil before any has told it.
    ///
    /// For messages to people, and for what may only come later than it should: a single node can lie.
    public var toldTime: UnixTime? { clock.opinion(at: running) }

    /// How far the system's clock is ahead of the nodes' that were linked to; nil before any has told its time.
    public var clockError: TimeSpan? {
        guard let told = toldTime else { return nil }
        return .seconds(Int64(clamping: ownTime.seconds) - Int64(clamping: told.seconds))
    }

    /// Whether a node's time differs from the present one, so that more should be asked.
    public var isTimeDisputed: Bool { clock.isDisputed(own: ownTime, at: running) }

    /// Of how many operators nodes have told their time.
    public var timeSources: Int { clock.sources }

    /// How many operators the network has: of a small one all are enough to say that the own clock is wrong by months.
    public func setOperators(_ count: Int) { clock.operators = count }

    /// What happened so far.
    public var counters: LinkCounters { table.counters }

    /// How many links there are.
    public var status: LinkStatus {
        var status = LinkStatus()
        for case .some(let link) in links where link.isUp && link.isOpen {
            if link.peer == .client { status.clients += 1 } else { status.nodes += 1 }
        }
        status.halfOpen = halfOpen.count
        status.handshakes = handshakes.count + wanted.count
        return status
    }

    /// What the sockets did so far, in the order of the configuration's addresses.
    public var socketCounters: [DatagramCounters] { sockets.map(\.counters) }

    /// How many packets the sockets have dropped, by reason, of which there are some.
    public var socketDrops: [String: UInt64] {
        var drops: [String: UInt64] = [:]
        for counters in socketCounters { drops.merge(counters.drops, uniquingKeysWith: &+) }
        return drops
    }

    // MARK: The turn

    /// Lets `work` run at the end of the turn.
    func later(_ work: @escaping () -> Void) {
        deferred.append(work)
        turnTimer?.schedule(at: 0)
    }

    func markDirty(_ link: ControlLink) {
        guard !link.isDirty, !link.isGone else { return }
        link.isDirty = true
        dirty.append(link)
        turnTimer?.schedule(at: 0)
    }

    /// The end of a turn in which something was left to do.
    private func turn() {
        table.now = now
        startWanted()
        let work = deferred
        deferred = []
        for item in work { item() }
        let links = dirty
        dirty = []
        for link in links {
            link.isDirty = false
            pump(link)
        }
        armSweep()
    }
}

/// Receives for `Links`, which the sockets must not keep alive.
private final class Inlet: DatagramReceiver {
    private weak var links: Links?

    init(_ links: Links) { self.links = links }

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        links?.received(&batch)
    }
}

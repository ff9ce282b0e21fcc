public import EventLoop
public import Link
internal import Messages
internal import OnionCrypto
public import Wire

/// The links of one worker: its sockets, the link table, and each link's control connection.
///
/// Relay and client both stand on it. It belongs to the loop's thread, and callbacks run there. Handlers are held weakly. It has more
/// members than most types: the parts, which keep their own state.
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

    /// What this end has as a node; nil for a client's.
    let node: NodeSide?
    var clocks: LinkClocks
    /// The state that packets touch; nothing keeps an access to it while handlers other than `PacketHandler` run.
    var table: LinkTable
    /// What all workers are to do about links; the own table is the only one so far.
    var orders = LinkOrders(workers: 1) { _, _ in nil }
    var sorted: SortedBatch
    var sockets = LinkSockets()
    var list: LinkList
    var handshakes: Handshakes
    var messages: MessageShares
    var schedule: LinkSchedule
    var patience = LinkPatience()
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
        let now = Instant(nanoseconds: loop.now)
        node = identity.map { NodeSide($0, configuration: configuration, isStaked: isStaked, now: now) }
        clocks = LinkClocks(
            wallClock: wallClock ?? { loop.wallClock }, runningClock: runningClock ?? { loop.runningClock },
            trustsOwn: identity != nil)
        table = LinkTable(
            capacity: configuration.maximumLinks, packetSize: configuration.network.packetSize,
            worker: configuration.worker, now: now)
        sorted = SortedBatch(packetSize: configuration.network.packetSize)
        list = LinkList(configuration)
        handshakes = Handshakes(limit: configuration.maximumHandshakes)
        messages = MessageShares(configuration)
        schedule = LinkSchedule(now: now)
        orders = LinkOrders(workers: 1) { [unowned self] _, order in table.take(order) }
        try openSockets()
        schedule.start(on: loop, turn: { [weak self] in self?.turn() }, sweep: { [weak self] in self?.sweep() })
    }

    deinit { sockets.close() }

    /// The loop's present moment.
    public var now: Instant { Instant(nanoseconds: loop.now) }

    // MARK: Sockets

    func openSockets() throws(UVError) {
        try sockets.open(on: loop, configuration, isNode: node != nil, receiver: Inlet(self), for: &table)
    }

    /// Whether there is a socket for the address and this machine has a route to it now.
    public func reaches(_ endpoint: Endpoint) -> Bool {
        let address = SocketAddress(endpoint)
        return table.socket(for: address) != nil && loop.hasRoute(to: address)
    }

    func closeSockets() { sockets.close(for: &table) }

    /// The addresses that the sockets are bound to.
    public var localAddresses: [SocketAddress] { sockets.localAddresses }

    /// How many packets may have been sent in all (``LinkCounters/packetsSent``) until those that arrive are left to wait, for a limit of
    /// the rate: looked at after each batch.
    public var sendCeiling: UInt64 {
        get { sockets.sendCeiling }
        set {
            sockets.sendCeiling = newValue
            sockets.isReceivePaused = !maySend
        }
    }

    /// Whether ``sendCeiling`` is not reached.
    public var maySend: Bool { table.counters.packetsSent < sockets.sendCeiling }

    /// Lets about `size` bytes of packets wait in the kernel of each socket that there is now, 0: as many as they were opened with.
    public func limitReceiveBuffer(to size: Int) { sockets.limitReceiveBuffer(to: size) }

    // MARK: Packets

    /// Gives access to the table, for sending packets outside of `PacketHandler.receive`; must not be nested.
    public func withTable<R>(_ body: (inout LinkTable) -> R) -> R {
        table.now = now
        defer { armSweep() }
        return body(&table)
    }

    // MARK: What directory and operator say

    /// The operator of each node whose time counts, from now on; until the first call every node counts as an operator of its own.
    ///
    /// An operator has one opinion, its last. Of a small network all operators are enough to say that the own clock is wrong by
    /// months.
    public func setOperators(_ operators: [NodeID: Bytes32]) { clocks.setOperators(operators) }

    /// Tells a node which endpoints, and which addresses with any port, staked nodes have.
    ///
    /// Initiations from there need no cookie under load. Neither closure may call back. It has no effect on a client.
    public func setNodeAddresses(endpoints: @escaping (Endpoint) -> Bool, addresses: @escaping (IPAddress) -> Bool) {
        node?.isNodeEndpoint = endpoints
        node?.isNodeAddress = addresses
    }

    /// Whether a node begins links as a client does, without its identity.
    ///
    /// Handshakes under way that do otherwise end when it changes. It has no effect on a client.
    public var hidesIdentity: Bool {
        get { node?.hidesIdentity ?? false }
        set {
            guard let node, node.hidesIdentity != newValue else { return }
            node.hidesIdentity = newValue
            endHandshakes()
        }
    }

    // MARK: State

    /// The wall clock: a node's own; a client's own unless several operators' nodes agree that it is wrong.
    public var time: UnixTime { clocks.time }

    /// What the machine's own wall clock says.
    public var ownTime: UnixTime { clocks.own }

    /// The moment on the clock that runs on while the machine sleeps.
    public var running: Instant { clocks.running }

    /// What the nodes that were linked to say that the time is; nil before any has told it.
    ///
    /// For messages to people, and for what may only come later than it should: a single node can lie.
    public var toldTime: UnixTime? { clocks.told }

    /// How far the system's clock is ahead of the nodes' that were linked to; nil before any has told its time.
    public var clockError: TimeSpan? {
        guard let told = toldTime else { return nil }
        return .seconds(Int64(clamping: ownTime.seconds) - Int64(clamping: told.seconds))
    }

    /// Whether a node's time differs from the present one, so that more should be asked.
    public var isTimeDisputed: Bool { clocks.isDisputed }

    /// Of how many operators nodes have told their time.
    public var timeSources: Int { clocks.sources }

    /// What happened so far.
    public var counters: LinkCounters { table.counters }

    /// How many links there are.
    public var status: LinkStatus {
        var status = LinkStatus()
        for link in list.all where link.isUp && link.isOpen {
            if link.peer == .client { status.clients += 1 } else { status.nodes += 1 }
        }
        status.halfOpen = list.halfOpenCount
        status.handshakes = handshakes.count
        return status
    }

    /// What the sockets did so far, in the order of the configuration's addresses.
    public var socketCounters: [DatagramCounters] { sockets.counters }

    /// How many packets the sockets have dropped, by reason, of which there are some.
    public var socketDrops: [String: UInt64] {
        var drops: [String: UInt64] = [:]
        for counters in socketCounters { drops.merge(counters.drops, uniquingKeysWith: &+) }
        return drops
    }

    // MARK: The turn

    /// Lets `work` run at the end of the turn.
    func later(_ work: @escaping () -> Void) { schedule.later(work) }

    func markDirty(_ link: ControlLink) { schedule.markDirty(link) }

    /// The end of a turn in which something was left to do.
    private func turn() {
        table.now = now
        startWanted()
        for work in schedule.takeDeferred() { work() }
        for link in schedule.takeDirty() {
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

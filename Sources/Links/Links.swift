public import EventLoop
public import Link
internal import Messages
internal import OnionCrypto
public import Wire

/// The links of worker 0: its sockets, the link table, and each link's control connection.
///
/// A client and a node with one worker have no others. Relay and client both stand on it. It belongs to the loop's
/// thread, and callbacks run there. Handlers are held weakly. It has more members than most types: the parts, which keep
/// their own state.
public final class Links {
    /// The loop that runs all callbacks; all calls must come from its thread.
    public let loop: Loop
    /// The configuration that it was made with.
    public let configuration: LinksConfiguration
    /// Receives the data packets whose path id has the top bit of its table index clear.
    public weak var relay: (any PacketHandler)?
    /// Receives the data packets whose path id has the top bit of its table index set.
    public weak var client: (any PacketHandler)?
    /// Receives control messages and the events of links; it must be set before the first link is up.
    public weak var control: (any ControlHandler)? { didSet { hasHadControl = true } }
    private(set) var hasHadControl = false

    /// The state that only a node has; nil for a client.
    let node: NodeSide?
    var clocks: LinkClocks
    /// The state that packets touch; no access to it is open while handlers other than `PacketHandler` run.
    var table: LinkTable
    /// What all workers are to do about links.
    var orders = LinkOrders(workers: 1) { _, _ in nil }
    /// The other workers of a node that has some.
    var crew: LinkCrew
    var sorted: SortedBatch
    var sockets = LinkSockets()
    var list: LinkList
    var handshakes: Handshakes
    var messages: MessageShares
    var schedule: LinkSchedule
    var patience = LinkPatience()
    var isClosing = false

    /// Opens the sockets; throws if one cannot be opened.
    ///
    /// `identity` is a node's; a client has none and accepts no handshakes. `isStaked` decides which nodes may begin
    /// links; it must not call back. From `addresses`, initiations need no cookie under load. `wallClock` returns
    /// nanoseconds since 1970; `runningClock` returns nanoseconds and runs on while the machine sleeps. Without them
    /// the loop's clocks are used. With `others`, these are the links of worker 0, and the other workers have a
    /// ``LinkWorker`` each.
    public init(
        on loop: Loop, configuration: LinksConfiguration, identity: LinkIdentity?,
        isStaked: @escaping (NodeID) -> Bool = { _ in false }, addresses: (any NodeAddresses)? = nil,
        wallClock: (() -> UInt64)? = nil,
        runningClock: (() -> UInt64)? = nil, others: LinkCrewWays? = nil
    ) throws(UVError) {
        precondition(others == nil || identity != nil, "only a node has other workers")
        self.loop = loop
        self.configuration = configuration
        let now = Instant(nanoseconds: loop.now)
        node = identity.map {
            NodeSide($0, configuration: configuration, isStaked: isStaked, addresses: addresses, now: now)
        }
        clocks = LinkClocks(
            wallClock: wallClock ?? { loop.wallClock }, runningClock: runningClock ?? { loop.runningClock },
            trustsOwn: identity != nil)
        let crew = LinkCrew(others, configuration, now: now)
        let workers = Int(crew.workers)
        self.crew = crew
        table = LinkTable(
            capacity: configuration.tableCapacity(workers: workers), packetSize: configuration.network.packetSize,
            worker: 0, workers: workers, now: now)
        sorted = SortedBatch(packetSize: configuration.network.packetSize)
        list = LinkList(configuration)
        handshakes = Handshakes(limit: configuration.maximumHandshakes)
        messages = MessageShares(configuration)
        schedule = LinkSchedule(now: now)
        orders = LinkOrders(workers: crew.workers) { [unowned self] worker, order in
            guard worker > 0 else { return table.take(order) }
            others?.order(worker, order)
            return nil
        }
        try openSockets()
        schedule.start(on: loop, turn: { [weak self] in self?.turn() }, sweep: { [weak self] in self?.sweep() })
    }

    deinit { sockets.close() }

    /// The loop's present time.
    public var now: Instant { Instant(nanoseconds: loop.now) }

    // MARK: Sockets

    func openSockets() throws(UVError) {
        try sockets.open(on: loop, configuration, isNode: node != nil, receiver: Inlet(self), for: &table)
    }

    /// Whether there is a socket for the address's family and this machine has a route to the address now.
    public func reaches(_ endpoint: Endpoint) -> Bool {
        let address = SocketAddress(endpoint)
        return table.socket(for: address) != nil && loop.hasRoute(to: address)
    }

    func closeSockets() { sockets.close(for: &table) }

    /// The addresses that the sockets are bound to.
    public var localAddresses: [SocketAddress] { sockets.localAddresses }

    /// The total of sent packets (``LinkCounters/packetsSent``) at which receiving pauses: packets then wait in the
    /// kernel.
    ///
    /// It limits the rate, and is checked after each batch.
    public var sendCeiling: UInt64 {
        get { sockets.sendCeiling }
        set {
            sockets.sendCeiling = newValue
            sockets.isReceivePaused = !maySend
        }
    }

    /// How many packets all workers have sent.
    public var packetsSent: UInt64 { table.counters.packetsSent &+ (crew.ways?.shares.othersTotal ?? 0) }

    /// How many packets have passed the other workers, in and out, without those that their handlers dropped.
    public var othersPassed: UInt64 { crew.ways?.shares.othersPassed ?? 0 }

    /// Lets all workers send `packets` more packets: each an equal part, and `least` at least unless it is none; nil:
    /// any number.
    ///
    /// Returns the part of this worker.
    @discardableResult
    public func allow(_ packets: UInt64?, least: UInt64) -> UInt64 {
        guard let packets else {
            crew.ways?.shares.allowOthers(nil)
            sendCeiling = .max
            return .max
        }
        let part = crew.hasOthers && packets > 0 ? max(packets / UInt64(clamping: workers), least) : packets
        crew.ways?.shares.allowOthers(part)
        sendCeiling = table.counters.packetsSent &+ part
        return part
    }

    /// Whether ``sendCeiling`` is not reached.
    public var maySend: Bool { table.counters.packetsSent < sockets.sendCeiling }

    /// Whether the socket of a link has room for another packet; false if the link is gone.
    public func hasRoom(on link: LinkID) -> Bool { table.hasRoom(on: link) }

    /// Limits the packets that wait in the kernel to about `size` bytes for each present socket of each worker; 0: the
    /// size set when it was opened.
    public func limitReceiveBuffer(to size: Int) {
        sockets.limitReceiveBuffer(to: size)
        crew.ways?.limitReceiveBuffers(size)
    }

    /// How many workers the node has.
    public var workers: Int { Int(truncatingIfNeeded: crew.workers) }

    // MARK: Packets

    /// Gives access to the table, to send packets outside of `PacketHandler.receive`; calls must not be nested.
    public func withTable<R>(_ body: (inout LinkTable) -> R) -> R {
        table.now = now
        defer { armSweep() }
        return body(&table)
    }

    // MARK: Facts from the directory and the operator

    /// Sets the operator of each node whose time counts; before the first call every node counts as an operator of its
    /// own.
    ///
    /// An operator has one opinion, its last. In a small network all operators together are enough to decide that this
    /// machine's clock is wrong by months.
    public func setOperators(_ operators: [NodeID: Bytes32]) { clocks.setOperators(operators) }

    /// Whether a node begins links without its identity, as a client does.
    ///
    /// A change ends the handshakes under way that do otherwise. Has no effect on a client.
    public var hidesIdentity: Bool {
        get { node?.hidesIdentity ?? false }
        set {
            guard let node, node.hidesIdentity != newValue else { return }
            node.hidesIdentity = newValue
            endHandshakes()
        }
    }

    // MARK: State

    /// The wall clock: a node's own; a client's own, unless the nodes of several operators agree that it is wrong.
    public var time: UnixTime { clocks.time }

    /// This machine's wall clock.
    public var ownTime: UnixTime { clocks.own }

    /// The moment on the clock that runs on while the machine sleeps.
    public var running: Instant { clocks.running }

    /// The time by the reports of nodes that were linked to; nil before the first report.
    ///
    /// Use it for messages to users, and for actions that may be late but must not be early: a single node can lie.
    public var toldTime: UnixTime? { clocks.told }

    /// This machine's clock minus the time that nodes report; nil before the first report.
    public var clockError: TimeSpan? {
        guard let told = toldTime else { return nil }
        return .seconds(Int64(clamping: ownTime.seconds) - Int64(clamping: told.seconds))
    }

    /// Whether a node's report differs from `time`, so that more nodes should be asked.
    public var isTimeDisputed: Bool { clocks.isDisputed }

    /// The number of operators whose nodes have reported a time.
    public var timeSources: Int { clocks.sources }

    /// The counters since the start.
    public var counters: LinkCounters { table.counters }

    /// The present numbers of links.
    public var status: LinkStatus {
        var status = LinkStatus()
        for link in list.all where link.isUp && link.isOpen {
            if link.peer == .client { status.clients += 1 } else { status.nodes += 1 }
        }
        status.halfOpen = list.halfOpenCount
        status.handshakes = handshakes.count
        return status
    }

    /// Each socket's counters, in the order of the configuration's addresses.
    public var socketCounters: [DatagramCounters] { sockets.counters }

    /// The numbers of packets that the sockets dropped, by reason; only reasons that occurred.
    public var socketDrops: [String: UInt64] {
        var drops: [String: UInt64] = [:]
        for counters in socketCounters { drops.merge(counters.drops, uniquingKeysWith: &+) }
        return drops
    }

    // MARK: The turn

    /// Runs `work` at the end of the turn.
    func later(_ work: @escaping () -> Void) { schedule.later(work) }

    func markDirty(_ link: ControlLink) { schedule.markDirty(link) }

    /// Runs at the end of a turn that left work.
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

/// Receives packets for `Links`; the sockets hold it, so that they do not keep `Links` alive.
private final class Inlet: DatagramReceiver {
    private weak var links: Links?

    init(_ links: Links) { self.links = links }

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        links?.received(&batch)
    }
}

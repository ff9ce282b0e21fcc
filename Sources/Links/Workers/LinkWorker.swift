public import EventLoop
internal import Link
public import Wire

/// A worker's part of the links: its sockets, and its table, which obeys worker 0's orders
/// (docs/architecture/workers.md).
///
/// It belongs to its loop's thread.
public final class LinkWorker {
    /// The ways to the other workers.
    public struct Ways {
        /// Tells worker 0 about a link; never lost.
        public var tell: (LinkAnswer) -> Void
        /// Hands something to worker 0.
        public var handovers: HandoverLane
        /// Tells worker 0 what has passed, every ``LinkWorker/pulseInterval``; never lost.
        public var pulse: (LinkPulse) -> Void
        /// The lanes for packets of other workers, by their numbers; nil for this one.
        public var lanes: [PacketLane?]
        /// What the workers have sent, and may send.
        public var shares: SendShares

        /// These ways, of which `lanes` has one for each worker.
        public init(
            tell: @escaping (LinkAnswer) -> Void, handovers: HandoverLane,
            pulse: @escaping (LinkPulse) -> Void, lanes: [PacketLane?], shares: SendShares
        ) {
            self.tell = tell
            self.handovers = handovers
            self.pulse = pulse
            self.lanes = lanes
            self.shares = shares
        }
    }

    /// The worker's loop; all calls must come from its thread.
    public let loop: Loop
    /// Takes data packets, as ``Links/relay`` does.
    public weak var relay: (any PacketHandler)?
    /// How many received packets ``relay`` has dropped, which it sets.
    public var packetsInVain: UInt64 = 0
    var table: LinkTable
    private var sorted: SortedBatch
    private var sockets = LinkSockets()
    private let ways: Ways
    private var timer: LoopTimer?
    private var lastPulse: Instant
    /// Ends a pause.
    private var pauseTimer: LoopTimer?

    /// How long it pauses when it has sent what it may, until it looks again; ``SendShares`` cannot wake it.
    private static let pause = TimeSpan.milliseconds(5)
    /// How often it tells worker 0 what has passed: a part of the time after which a silent peer is asked.
    public static let pulseInterval = TimeSpan.milliseconds(50)

    /// Worker `worker` on `loop`, whose sockets are open when this returns.
    public init(
        on loop: Loop, worker: UInt8, configuration: LinksConfiguration, ways: Ways
    ) throws(UVError) {
        self.loop = loop
        self.ways = ways
        let packetSize = configuration.network.packetSize
        lastPulse = Instant(nanoseconds: loop.now)
        let workers = ways.lanes.count
        table = LinkTable(
            capacity: configuration.tableCapacity(workers: workers), packetSize: packetSize, worker: worker,
            workers: workers, now: lastPulse)
        sorted = SortedBatch(packetSize: packetSize)
        timer = LoopTimer(on: loop) { [weak self] in self?.pulse() }
        timer?.schedule(at: (lastPulse + Self.pulseInterval).nanoseconds)
        pauseTimer = LoopTimer(on: loop) { [weak self] in self?.pauseWhereItMust() }
        try sockets.open(on: loop, configuration, isNode: true, receiver: WorkerInlet(self), for: &table)
    }

    deinit {
        timer?.close()
        pauseTimer?.close()
        sockets.close()
    }

    /// The addresses that the sockets are bound to.
    public var localAddresses: [SocketAddress] { sockets.localAddresses }
    /// What happened so far.
    public var counters: LinkCounters { table.counters }
    /// Each socket's counters, in the order of the configuration's addresses.
    public var socketCounters: [DatagramCounters] { sockets.counters }

    /// Closes sockets and timers; to be called before the worker is released.
    public func close() {
        timer?.close()
        pauseTimer?.close()
        sockets.close(for: &table)
    }

    private var now: Instant { Instant(nanoseconds: loop.now) }

    // MARK: Orders

    /// Carries out an order of worker 0, which is told the answer.
    public func take(_ order: LinkOrder) {
        table.now = now
        if let answer = table.take(order) { ways.tell(answer) }
    }

    /// Wipes keys that are over; to be called every second.
    public func sweep() {
        table.now = now
        for event in table.takeExpired() { ways.tell(event) }
    }

    private func pulse() {
        let moment = now
        ways.pulse(
            LinkPulse(
                worker: table.worker, parts: table.pulse(since: lastPulse), received: table.counters.packetsReceived))
        lastPulse = moment
        timer?.schedule(at: (moment + Self.pulseInterval).nanoseconds)
    }

    // MARK: Packets

    /// Takes packets that another worker has handed on; those that are not for this one either are dropped.
    public func take(_ copies: PacketCopies) {
        copies.deliver(on: loop) { received(&$0, isHandedOn: true) }
    }

    func received(_ batch: inout ReceivedBatch, isHandedOn: Bool) {
        take(&batch, isHandedOn: isHandedOn)
        if hasSentItsPart() { pauseWhereItMust() }
    }

    /// Tells worker 0 what was sent and what has passed; true if this worker has sent what it may.
    private func hasSentItsPart() -> Bool {
        let (received, sent) = (table.counters.packetsReceived, table.counters.packetsSent)
        let taken = received - min(packetsInVain, received)
        return ways.shares.note(sent, passed: taken &+ sent, of: table.worker)
    }

    /// Receives nothing while this worker has sent what it may.
    private func pauseWhereItMust() {
        let isOver = hasSentItsPart()
        sockets.isReceivePaused = isOver
        if isOver { pauseTimer?.schedule(at: (now + Self.pause).nanoseconds) }
    }

    /// Limits the packets that wait in the kernel to about `size` bytes for each socket; 0: the size set when it was
    /// opened.
    public func limitReceiveBuffer(to size: Int) { sockets.limitReceiveBuffer(to: size) }

    private func take(_ batch: inout ReceivedBatch, isHandedOn: Bool) {
        guard Links.takeData(&batch, &table, &sorted, now, relay, nil) else { return }
        for number in 0..<sorted.control.count { takeControl(number, &batch) }
        for event in table.takeEvents() { ways.tell(event) }
        for (link, position) in table.newAddresses {
            _ = ways.handovers.add(LinkHandover(link: link, source: batch.source(of: position), kind: .newAddress))
        }
        guard sorted.hasSlowPath else { return }
        if isHandedOn {
            for _ in sorted.misrouted { table.drop(.unknownIndex) }
        } else {
            for position in sorted.misrouted { handOn(position, &batch, to: nil) }
        }
        for position in sorted.handshakes { handOn(position, &batch, to: 0) }
        for lane in ways.lanes { lane?.flush() }
    }

    private func takeControl(_ number: Int, _ batch: inout ReceivedBatch) {
        let arrival = sorted.control[number]
        // It is not committed, so the same packet can come again.
        guard ways.handovers.hasRoom(for: arrival.link) else { return table.counters.packetsNotHandedOn &+= 1 }
        let source = batch.source(of: arrival.position)
        var packet = batch.packet(arrival.position)
        guard let packetNumber = table.openControl(arrival, &packet) else { return }
        let payload = packet.bytes.extracting(Packet.payloadOffset..<table.packetSize)
        let control = LinkHandover(
            link: arrival.link, source: source,
            kind: .control(number: packetNumber, payload: unsafe payload.withUnsafeBytes { unsafe Array($0) }))
        if !ways.handovers.add(control) { table.counters.packetsNotHandedOn &+= 1 }
    }

    /// Copies a packet for another worker, by its receiver index or to the one given.
    private func handOn(_ position: Int, _ batch: inout ReceivedBatch, to worker: Int?) {
        let source = batch.source(of: position)
        let packet = batch.packet(position)
        let owner = Int(packet.receiverIndex >> 24)
        let target = worker ?? owner
        if ways.lanes[target]?.add(packet.bytes, from: source) ?? false {
            table.counters.packetsHandedOn &+= 1
        } else {
            table.counters.packetsNotHandedOn &+= 1
        }
    }
}

/// Receives for a `LinkWorker`, which the sockets must not keep alive.
private final class WorkerInlet: DatagramReceiver {
    private weak var links: LinkWorker?

    init(_ links: LinkWorker) { self.links = links }

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        links?.received(&batch, isHandedOn: false)
    }
}

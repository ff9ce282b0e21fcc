internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import Wire

/// What worker 0 orders of another worker, in one lane: a link is there before the halves that use it.
enum WorkerOrder: Sendable {
    /// The first one: everything that the worker needs to know.
    case begin(WorkerSetup)
    case link(LinkOrder)
    case half(HalfOrder)
    /// The most bytes that may wait in the kernel for each socket; 0: as when it was opened.
    case limitReceiveBuffer(Int)
}

/// What a worker tells worker 0, in one lane.
enum WorkerNews: Sendable {
    case link(LinkAnswer)
    case half(HalfAnswer)
    /// What has passed over halves in the last second.
    case passed([HalfReport])
    /// What has passed over links.
    case pulse(LinkPulse)
    /// The counters since the start.
    case counters(WorkerCounters)
}

/// A worker's counters.
struct WorkerCounters: Sendable {
    let worker: UInt8
    /// When these were the counters.
    var time = Instant(nanoseconds: 0)
    /// The processor time in nanoseconds that its thread has used.
    var processorTime: UInt64 = 0
    var links = LinkCounters()
    var sockets: [DatagramCounters] = []
    /// Drops of its halves of paths, by reason.
    var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    /// Packets of paths that end at this node, and that worker 0 had no room for.
    var undelivered: UInt64 = 0
}

/// The ways to one worker other than worker 0, for any thread.
struct WorkerInbox: Sendable {
    /// Orders, of worker 0.
    let orders: Mailbox<WorkerOrder>.Sender
    /// Packets, by the number of the worker that hands them on.
    let packets: [Mailbox<PacketCopies>.Sender]
}

/// What a worker is told when it begins.
struct WorkerSetup: Sendable {
    let number: UInt8
    let configuration: LinksConfiguration
    let maximumPaths: Int
    /// The ways to worker 0: news, what may be lost, packets of paths that end there.
    let news: Mailbox<WorkerNews>.Sender
    let handovers: Mailbox<LinkHandover>.Sender
    let ends: Mailbox<PacketCopies>.Sender
    /// The ways for packets to each worker, by number; nil to itself.
    let packets: [Mailbox<PacketCopies>.Sender?]
    let shares: SendShares
}

/// A packet of a path that ends at this node, on its way to worker 0: nobody needs its header any more, so that this
/// has the path and the packet number.
enum EndPackets {
    private static let pathOffset = 0
    private static let numberOffset = 8
    private static let noSource = SocketAddress(ipv4: 0, port: 0)

    /// Copies a packet into the lane; false if there is no room.
    static func add(
        _ delivery: PathPackets.Delivery, _ packets: inout ReceivedPackets, to lane: PacketLane
    ) -> Bool {
        var packet = packets.packet(delivery.index)
        packet.storeLittleEndian(delivery.path.rawValue, at: pathOffset)
        packet.storeLittleEndian(delivery.number, at: numberOffset)
        return lane.add(packet.bytes, from: noSource)
    }

    /// The path and number of a packet that has come.
    static func read(_ packet: borrowing MutableRawSpan) -> (path: PathHandle, number: UInt64) {
        (PathHandle(rawValue: packet.loadLittleEndian(at: pathOffset)), packet.loadLittleEndian(at: numberOffset))
    }
}

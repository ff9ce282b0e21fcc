internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import Wire

/// What worker 0 orders of another worker, in one lane: a link is there before the halves that use it.
enum WorkerOrder: Sendable {
    case link(LinkOrder)
    case half(HalfOrder)
}

/// What a worker tells worker 0.
enum WorkerNews: Sendable {
    case link(LinkAnswer)
    case half(HalfAnswer)
    /// What has passed over halves in the last second.
    case passed([HalfReport])
}

/// A worker other than worker 0: its links and its halves of paths, which worker 0 orders (docs/architecture/workers.md).
///
/// It belongs to its loop's thread.
final class Worker: PacketHandler {
    let links: LinkWorker
    private var halves: PathHalves
    /// The number of drops, by reason.
    private(set) var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    /// Packets of paths that end at this node, whose sessions worker 0 has.
    private(set) var undelivered: UInt64 = 0
    private let tell: (WorkerNews) -> Void
    private var timer: LoopTimer?

    /// Worker `number`, with at most `maximumPaths` halves of each direction; `tell` tells worker 0, and loses nothing.
    ///
    /// It must be closed before it is released.
    init(
        on loop: Loop, number: UInt8, configuration: LinksConfiguration, maximumPaths: Int, lanes: [PacketLane?],
        hand: @escaping (LinkControlPacket) -> Bool, tell: @escaping (WorkerNews) -> Void
    ) throws(UVError) {
        self.tell = tell
        halves = PathHalves(worker: number, maximum: maximumPaths)
        links = try LinkWorker(
            on: loop, worker: number, configuration: configuration,
            ways: LinkWorker.Ways(tell: { tell(.link($0)) }, hand: hand, lanes: lanes))
        links.relay = self
        timer = LoopTimer(on: loop) { [weak self] in self?.tick() }
        timer?.schedule(at: loop.now + Self.interval)
    }

    private static let interval: UInt64 = 1_000_000_000

    /// How many halves there are.
    var halfCount: Int { halves.count }

    /// Closes the sockets.
    func close() {
        timer?.close()
        links.close()
    }

    /// Carries out an order.
    func take(_ order: WorkerOrder) {
        switch order {
        case .link(let order): links.take(order)
        case .half(let order): if let answer = halves.take(order) { tell(.half(answer)) }
        }
    }

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        let now = Instant(nanoseconds: links.loop.now)
        var next = 0
        while PathPackets.pass(&packets, &table, &halves, &drops, from: &next, now: now) != nil { undelivered &+= 1 }
    }

    private func tick() {
        let reports = halves.report(now: Instant(nanoseconds: links.loop.now), limit: max(1_024, halves.capacity / 4))
        if !reports.isEmpty { tell(.passed(reports)) }
        links.sweep()
        timer?.schedule(at: links.loop.now + Self.interval)
    }
}

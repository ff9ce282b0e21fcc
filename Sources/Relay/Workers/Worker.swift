internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import Wire

/// A worker other than worker 0: its links and its halves of paths, which worker 0 orders
/// (docs/architecture/workers.md).
///
/// It belongs to its loop's thread.
final class Worker: PacketHandler {
    /// The ways to the other workers.
    struct Ways {
        /// Tells worker 0; loses nothing.
        let tell: (WorkerNews) -> Void
        /// Hands over what worker 0 has to do.
        let handovers: HandoverLane
        /// The lanes for packets of other workers, by their numbers; nil for this one.
        let lanes: [PacketLane?]
        /// The lane for packets of paths that end at this node, whose sessions worker 0 has.
        let ends: PacketLane
        let shares: SendShares
    }

    let links: LinkWorker
    private let number: UInt8
    private var halves: PathHalves
    /// The number of drops, by reason.
    private(set) var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    /// Packets of paths that end at this node for which the lane had no room.
    private(set) var undelivered: UInt64 = 0
    private let ways: Ways
    private var timer: LoopTimer?

    /// Worker `number`, with at most `maximumPaths` halves of each direction.
    ///
    /// It must be closed before it is released.
    init(
        on loop: Loop, number: UInt8, configuration: LinksConfiguration, maximumPaths: Int, ways: Ways
    ) throws(UVError) {
        self.number = number
        self.ways = ways
        halves = PathHalves(worker: number, maximum: maximumPaths)
        let tell = ways.tell
        links = try LinkWorker(
            on: loop, worker: number, configuration: configuration,
            ways: LinkWorker.Ways(
                tell: { tell(.link($0)) }, handovers: ways.handovers, pulse: { tell(.pulse($0)) }, lanes: ways.lanes,
                shares: ways.shares))
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
    func take(_ order: LinkOrder) { links.take(order) }

    /// Carries out an order.
    func take(_ order: HalfOrder) { if let answer = halves.take(order) { ways.tell(.half(answer)) } }

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        let now = Instant(nanoseconds: links.loop.now)
        var next = 0
        while let delivery = PathPackets.pass(&packets, &table, &halves, &drops, from: &next, now: now) {
            if !EndPackets.add(delivery, &packets, to: ways.ends) { undelivered &+= 1 }
        }
        ways.ends.flush()
        links.packetsInVain = drops.reduce(0, &+)
    }

    private func tick() {
        // All places in each second: a draining node asks every 2 s which paths are quiet.
        let now = Instant(nanoseconds: links.loop.now)
        let reports = halves.report(now: now, limit: halves.capacity)
        if !reports.isEmpty { ways.tell(.passed(reports)) }
        links.sweep()
        ways.tell(
            .counters(
                WorkerCounters(
                    worker: number, time: now, processorTime: links.loop.processorTime, links: links.counters,
                    sockets: links.socketCounters, drops: drops, undelivered: undelivered)))
        timer?.schedule(at: links.loop.now + Self.interval)
    }
}

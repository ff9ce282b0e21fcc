internal import EventLoop
internal import Links
internal import Onion
internal import Wire

/// The other workers of a relay, as worker 0 has them: the ways to them, and what comes from them.
///
/// It belongs to worker 0's thread, and must be closed before its loop is.
final class WorkerCrew {
    /// How many workers there are, with worker 0.
    let count: Int
    private let inboxes: Inboxes
    let place: any WorkerPlace
    private let news: Mailbox<WorkerNews>
    private let handovers: Mailbox<LinkHandover>
    private let packets: Mailbox<PacketCopies>
    private let ends: Mailbox<PacketCopies>
    private let shares: SendShares
    private let desk = Desk()

    /// The ways to the others, until they have ended.
    private final class Inboxes {
        private var inboxes: [WorkerInbox]
        init(_ inboxes: [WorkerInbox]) { self.inboxes = inboxes }

        var all: [WorkerInbox] { inboxes }

        /// Sends an order, which is not lost while the others run.
        func send(_ order: WorkerOrder, to worker: UInt8) {
            guard !inboxes.isEmpty else { return }
            let isSent = inboxes[Int(worker) - 1].orders.send(order)
            precondition(isSent, "a lane that bounds itself is full")
        }

        /// Sends a question, which may be lost: peers cause them, and orders must find room.
        func ask(_ order: WorkerOrder, of worker: UInt8) {
            guard !inboxes.isEmpty else { return }
            inboxes[Int(worker) - 1].orders.send(order, reserve: WorkerPost.orderCapacity / 2)
        }

        func close() { inboxes = [] }
    }

    /// The parts of worker 0 that mail is for.
    private final class Desk {
        weak var links: Links?
        weak var paths: PathService?
        /// What each worker has told, worker 1 first.
        var counters: [WorkerCounters] = []
        /// The load of each worker, worker 0 first.
        var loads: [LoadMeter] = []

        func take(_ news: WorkerNews) {
            switch news {
            case .link(let answer): links?.take(answer)
            case .half(let answer): paths?.take(answer)
            case .passed(let reports): paths?.take(reports)
            case .pulse(let pulse): links?.take(pulse)
            case .counters(let counters):
                let worker = Int(truncatingIfNeeded: counters.worker)
                self.counters[worker - 1] = counters
                loads[worker].note(counters.processorTime, at: counters.time)
            }
        }
    }

    /// So many workers in all, the others at `place`.
    init(on loop: Loop, _ place: any WorkerPlace) throws(UVError) {
        self.place = place
        inboxes = Inboxes(place.inboxes)
        count = place.inboxes.count + 1
        shares = SendShares(workers: count)
        let desk = desk
        desk.counters = (1..<count).map { WorkerCounters(worker: UInt8(truncatingIfNeeded: $0)) }
        desk.loads = Array(repeating: LoadMeter(), count: count)
        let copies = PacketLane.capacity / PacketCopies.capacity
        news = try Mailbox(on: loop, sources: count, capacity: WorkerPost.orderCapacity) { desk.take($0) }
        // Half a millisecond of work for each worker in a turn.
        handovers = try Mailbox(on: loop, sources: count, capacity: HandoverLane.capacity, inTurn: 64) {
            desk.links?.take($0)
        }
        packets = try Mailbox(on: loop, sources: count, capacity: copies, inTurn: PacketLane.inTurn) { copies in
            if let links = desk.links { links.take(copies) } else { copies.comeHome() }
        }
        ends = try Mailbox(on: loop, sources: count, capacity: copies, inTurn: PacketLane.inTurn) { copies in
            if let paths = desk.paths { paths.take(copies) } else { copies.comeHome() }
        }
    }

    deinit { close() }

    /// What the other workers have counted, worker 1 first.
    var counters: [WorkerCounters] { desk.counters }

    /// The share of the last second in which each worker's thread used a processor, worker 0 first.
    var loads: [Double] { desk.loads.map(\.load) }

    /// Notes the processor time of worker 0; to be called every second.
    func note(processorTime: UInt64, now: Instant) { desk.loads[0].note(processorTime, at: now) }

    /// The ways of worker 0's links to the others.
    func ways(packetSize: Int) -> LinkCrewWays {
        LinkCrewWays(
            order: { [inboxes] worker, order in inboxes.send(.link(order), to: worker) },
            lanes: [nil]
                + inboxes.all.map { inbox -> PacketLane? in
                    let sender = inbox.packets[0]
                    return PacketLane(packetSize: packetSize) { sender.send($0) }
                }, shares: shares,
            limitReceiveBuffers: { [inboxes] size in
                for number in inboxes.all.indices {
                    inboxes.send(.limitReceiveBuffer(size), to: UInt8(truncatingIfNeeded: number + 1))
                }
            })
    }

    /// Orders something of another worker's halves of paths.
    func order(_ worker: UInt8, _ order: HalfOrder) {
        if order.isQuestion { inboxes.ask(.half(order), of: worker) } else { inboxes.send(.half(order), to: worker) }
    }

    /// Lets the others begin, with sockets at the addresses of `links`.
    func begin(_ links: Links, maximumPaths: Int) {
        desk.links = links
        var configuration = links.configuration
        configuration.listen = links.localAddresses
        let all = inboxes.all
        for worker in 1..<count {
            let senders = (0..<count).map { target -> Mailbox<PacketCopies>.Sender? in
                if target == worker { return nil }
                return target == 0 ? packets.sender(of: worker) : all[target - 1].packets[worker]
            }
            let setup = WorkerSetup(
                number: UInt8(truncatingIfNeeded: worker), configuration: configuration, maximumPaths: maximumPaths,
                news: news.sender(of: worker), handovers: handovers.sender(of: worker), ends: ends.sender(of: worker),
                packets: senders, shares: shares)
            inboxes.send(.begin(setup), to: setup.number)
        }
    }

    /// From now on `paths` takes the mail for paths.
    func serve(_ paths: PathService) { desk.paths = paths }

    /// Ends the other workers; has no effect the second time.
    ///
    /// To be called when no link is left, for nobody carries out orders any more.
    func close() {
        inboxes.close()
        place.close()
        news.close()
        handovers.close()
        for copies in packets.close() + ends.close() { copies.comeHome() }
    }
}

/// Where the other workers of a relay run.
protocol WorkerPlace: AnyObject {
    /// The ways to them, worker 1 first.
    var inboxes: [WorkerInbox] { get }
    /// Ends them, before it returns; has no effect the second time.
    func close()
}

/// Workers on simulated time, on this thread.
final class SimulatedWorkers: WorkerPlace {
    private let loops: [Loop]
    private(set) var posts: [WorkerPost]
    let inboxes: [WorkerInbox]

    /// The others of so many workers of the machine of `loop`; nil if that is not on simulated time.
    init?(beside loop: Loop, of workers: Int) throws(UVError) {
        var (loops, posts): ([Loop], [WorkerPost]) = ([], [])
        for number in 1..<workers {
            guard let loop = loop.simulatedWorker(UInt8(truncatingIfNeeded: number)) else { return nil }
            loops.append(loop)
            posts.append(try WorkerPost(on: loop, of: workers))
        }
        self.loops = loops
        self.posts = posts
        inboxes = posts.compactMap { $0.inbox }
    }

    func close() {
        for post in posts { post.close() }
        posts = []
        for loop in loops { loop.close() }
    }
}

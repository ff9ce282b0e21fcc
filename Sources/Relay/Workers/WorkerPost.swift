internal import EventLoop
internal import Link
internal import Links

/// The place of a worker on its loop: its mailboxes, and the worker itself once worker 0 has told it to begin.
///
/// It belongs to its loop's thread, and must be closed before it is released.
final class WorkerPost {
    private let loop: Loop
    private var orders: Mailbox<WorkerOrder>?
    private var packets: Mailbox<PacketCopies>?
    private(set) var worker: Worker?
    private let workers: Int

    /// Orders that wait: each link of a full table may be changed, and halves of paths be added, at the same time.
    static let orderCapacity = 1 << 20

    /// A place for one of so many workers.
    init(on loop: Loop, of workers: Int) throws(UVError) {
        self.loop = loop
        self.workers = workers
        orders = try Mailbox(on: loop, capacity: Self.orderCapacity) { [weak self] in self?.take($0) }
        packets = try Mailbox(
            on: loop, sources: workers, capacity: PacketLane.capacity / PacketCopies.capacity,
            inTurn: PacketLane.inTurn
        ) { [weak self] copies in
            if let worker = self?.worker { worker.links.take(copies) } else { copies.comeHome() }
        }
    }

    /// The ways to it; nil once it is closed.
    var inbox: WorkerInbox? {
        guard let orders, let packets else { return nil }
        return WorkerInbox(orders: orders.sender, packets: (0..<workers).map { packets.sender(of: $0) })
    }

    private func take(_ order: WorkerOrder) {
        switch order {
        case .begin(let setup): begin(setup)
        case .link(let order): worker?.take(order)
        case .half(let order): worker?.take(order)
        case .limitReceiveBuffer(let size): worker?.links.limitReceiveBuffer(to: size)
        }
    }

    private func begin(_ setup: WorkerSetup) {
        let packetSize = setup.configuration.network.packetSize
        let ways = Worker.Ways(
            tell: { news in
                // Worker 0's loop may be closed first, when the process ends at once.
                let isSent = setup.news.send(news) || setup.news.isClosed
                precondition(isSent, "a lane that bounds itself is full")
            },
            handovers: HandoverLane(waitingCount: { setup.handovers.waitingCount }) { setup.handovers.send($0) },
            lanes: setup.packets.map { sender in
                sender.map { sender in PacketLane(packetSize: packetSize) { sender.send($0) } }
            },
            ends: PacketLane(packetSize: packetSize) { setup.ends.send($0) }, shares: setup.shares)
        do throws(UVError) {
            worker = try Worker(
                on: loop, number: setup.number, configuration: setup.configuration, maximumPaths: setup.maximumPaths,
                ways: ways)
        } catch {
            // Worker 0 counts on it from now on, and its sockets are open already.
            fatalError("worker \(setup.number) cannot begin: \(error)")
        }
    }

    /// Closes the worker's sockets, and takes no more mail.
    func close() {
        orders?.close()
        orders = nil
        for copies in packets?.close() ?? [] { copies.comeHome() }
        packets = nil
        worker?.close()
        worker = nil
    }
}

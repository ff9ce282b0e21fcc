import EventLoop
import Link
import Wire

@testable import Links

/// The other workers of a node on simulated time, with the mailboxes between them and worker 0.
final class NodeWorkers {
    enum News: Sendable {
        case answer(LinkAnswer)
        case pulse(LinkPulse)
    }

    let count: Int
    private let loops: [Loop]
    private(set) var workers: [LinkWorker] = []
    private var orders: [Mailbox<LinkOrder>] = []
    private var packets: [Mailbox<PacketCopies>] = []
    private let news: Mailbox<News>
    private let handovers: Mailbox<LinkHandover>
    private weak var links: Links?
    private let shares: SendShares

    private final class Reader {
        weak var owner: NodeWorkers?
    }
    private let reader = Reader()

    /// The others of `count` workers of the machine of `loop`.
    init(beside loop: Loop, count: Int) throws {
        self.count = count
        shares = SendShares(workers: count)
        let loops = (1..<count).compactMap { loop.simulatedWorker(UInt8($0)) }
        self.loops = loops
        let reader = reader
        news = try Mailbox(on: loop, sources: count) { news in
            switch news {
            case .answer(let answer): reader.owner?.links?.take(answer)
            case .pulse(let pulse): reader.owner?.links?.take(pulse)
            }
        }
        handovers = try Mailbox(on: loop, sources: count, capacity: 1_024) { reader.owner?.links?.take($0) }
        packets = [try Mailbox(on: loop, sources: count, capacity: 16) { reader.owner?.links?.take($0) }]
        for (number, loop) in loops.enumerated() {
            orders.append(try Mailbox(on: loop) { reader.owner?.workers[number].take($0) })
            packets.append(
                try Mailbox(on: loop, sources: count, capacity: 16) { reader.owner?.workers[number].take($0) })
        }
        reader.owner = self
    }

    private func lanes(of source: Int, _ size: Int) -> [PacketLane?] {
        (0..<count).map { target in
            guard target != source else { return nil }
            let sender = packets[target].sender(of: source)
            return PacketLane(packetSize: size) { sender.send($0) }
        }
    }

    /// The ways of worker 0.
    func ways(packetSize: Int) -> LinkCrewWays {
        let senders = orders.map(\.sender)
        return LinkCrewWays(
            order: { worker, order in precondition(senders[Int(worker) - 1].send(order), "the lane is full") },
            lanes: lanes(of: 0, packetSize), shares: shares, limitReceiveBuffers: { _ in })
    }

    /// Lets the others begin; `relay` takes their data packets.
    func begin(_ links: Links, relay: any PacketHandler) throws {
        self.links = links
        var configuration = links.configuration
        configuration.listen = links.localAddresses
        for (number, loop) in loops.enumerated() {
            let (news, handovers) = (news.sender(of: number + 1), handovers.sender(of: number + 1))
            let worker = try LinkWorker(
                on: loop, worker: UInt8(number + 1), configuration: configuration,
                ways: LinkWorker.Ways(
                    tell: { precondition(news.send(.answer($0)), "the lane is full") },
                    handovers: HandoverLane(waitingCount: { handovers.waitingCount }) { handovers.send($0) },
                    pulse: { precondition(news.send(.pulse($0)), "the lane is full") },
                    lanes: lanes(of: number + 1, configuration.network.packetSize), shares: shares))
            worker.relay = relay
            workers.append(worker)
        }
    }

    func close() {
        for worker in workers { worker.close() }
        for loop in loops { loop.close() }
    }
}

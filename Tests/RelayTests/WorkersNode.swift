import EventLoop
import LinkModel
import OnionCrypto
import Testing
import Wire

@testable import Link
@testable import Links
@testable import Onion
@testable import Relay

/// A node with three workers on simulated time, each on a host of its own, and the worker 0 that orders them.
///
/// Handshakes and rekeys are function calls with a delay; all else goes through mailboxes and sockets. A link's packets are to be sent
/// to its owner's address: that is what the kernel's rule does for one address.
///
/// It has more members than most types: the parts of a node that has several workers.
final class WorkersNode: PacketHandler {
    static let count = 3
    let world: SimulatedWorld
    private let network = LinkNetwork(
        id: Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan), packetSize: WorkersPeer.size)
    private let shares = SendShares(workers: WorkersNode.count)
    private var loops: [Loop] = []
    private(set) var zero: LinkWorker!
    private(set) var others: [Worker] = []
    private var inboxes: [Mailbox<WorkerOrder>] = []
    private var packets: [Mailbox<PacketCopies>] = []
    private var news: Mailbox<WorkerNews>!
    private var orders = LinkOrders(workers: 1) { _, _ in nil }
    var forwarding = ForwardingTable(worker: 0, maximumPaths: 1)
    /// The receiver indices that are drawn for the other workers.
    private var indices: [Indices] = []
    private(set) var links: [LinkID: WorkersLink] = [:]
    private(set) var paths: [PathHandle: WorkersPath] = [:]
    private var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    private(set) var controls = 0
    /// Whether what is handed on from one worker to another waits here.
    var holds: ((_ from: Int, _ to: Int) -> Bool) = { _, _ in false }
    private(set) var held: [PacketCopies] = []

    private final class Indices {
        var table: IndexTable
        init(_ worker: UInt8) { table = IndexTable(capacity: 512, worker: worker) }
    }

    init(seed: UInt64) throws {
        world = SimulatedWorld(seed: seed)
        loops = (0..<Self.count).map { worker in
            Loop(simulated: world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001 + UInt32(worker), port: 0)]))
        }
        news = try Mailbox(on: loops[0], sources: Self.count) { [weak self] in self?.take($0) }
        for worker in 0..<Self.count {
            inboxes.append(
                try Mailbox(on: loops[worker]) { [weak self] order in
                    switch order {
                    case .begin: Issue.record("it was made by the test")
                    case .link(let order): self?.others[worker - 1].take(order)
                    case .half(let order): self?.others[worker - 1].take(order)
                    case .limitReceiveBuffer: Issue.record("the test sets no limit")
                    }
                })
            packets.append(
                try Mailbox(on: loops[worker], sources: Self.count, capacity: 16) { [weak self] in
                    self?.linkWorker(worker)?.take($0)
                })
            indices.append(Indices(UInt8(worker)))
        }
        zero = try LinkWorker(
            on: loops[0], worker: 0, configuration: configuration(0),
            ways: LinkWorker.Ways(
                tell: { [weak self] in self?.take(.link($0)) },
                handovers: HandoverLane(waitingCount: { 0 }) { [weak self] _ in self?.takeControl() ?? false },
                pulse: { _ in }, lanes: lanes(of: 0), shares: shares))
        zero.relay = self
        for worker in 1..<Self.count {
            let sender = news.sender(of: worker)
            others.append(
                try Worker(
                    on: loops[worker], number: UInt8(worker), configuration: configuration(worker), maximumPaths: 100,
                    ways: Worker.Ways(
                        tell: { precondition(sender.send($0), "the lane is full") },
                        handovers: HandoverLane(waitingCount: { 0 }) { [weak self] _ in self?.takeControl() ?? false },
                        lanes: lanes(of: worker),
                        ends: PacketLane(packetSize: WorkersPeer.size) { _ in false }, shares: shares)))
        }
        orders = LinkOrders(workers: UInt8(Self.count)) { [unowned self] worker, order in
            if worker == 0 { return zero.table.take(order) }
            precondition(inboxes[Int(worker)].sender.send(.link(order)), "the lane is full")
            return nil
        }
        forwarding = ForwardingTable(worker: 0, maximumPaths: 100, workers: Self.count) { [inboxes] worker, order in
            let isSent = inboxes[Int(worker)].sender.send(.half(order))
            precondition(isSent || order.isQuestion, "the lane is full")
        }
    }

    private func configuration(_ worker: Int) -> LinksConfiguration {
        let address = SocketAddress(ipv4: 0x0a00_0001 + UInt32(worker), port: 0)
        var configuration = LinksConfiguration(network: network, listen: [address], messages: [])
        configuration.maximumLinks = 64
        return configuration
    }

    private func lanes(of source: Int) -> [PacketLane?] {
        (0..<Self.count).map { target in
            guard target != source else { return nil }
            let sender = packets[target].sender(of: source)
            return PacketLane(packetSize: WorkersPeer.size) { [weak self] copies in
                guard let self, holds(source, target) else { return sender.send(copies) }
                held.append(copies)
                return true
            }
        }
    }

    private func linkWorker(_ worker: Int) -> LinkWorker? { worker == 0 ? zero : others[worker - 1].links }

    var now: Instant { Instant(nanoseconds: world.now) }

    /// The address of a worker.
    func address(_ worker: UInt8) -> SocketAddress { linkWorker(Int(worker))!.localAddresses[0] }

    func close() {
        zero.close()
        for worker in others { worker.close() }
        for loop in loops { loop.close() }
    }

    // MARK: What worker 0 hears

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        var next = 0
        let now = Instant(nanoseconds: loops[0].now)
        while PathPackets.pass(&packets, &table, &forwarding.halves, &drops, from: &next, now: now) != nil {}
    }

    private func takeControl() -> Bool {
        controls += 1
        return true
    }

    private func take(_ news: WorkerNews) {
        switch news {
        case .link(let answer): follow(orders.answered(answer))
        case .passed(let reports): forwarding.passed(reports)
        case .pulse, .counters: break
        case .half(let answer):
            switch forwarding.answered(answer) {
            case .none: break
            case .stands(let path): connect(path)
            case .connected(let path): paths[path]?.isReady = true
            case .refused, .found: Issue.record("neither full nor asked")
            }
        }
    }

    private func follow(_ progress: [LinkProgress]) {
        for step in progress {
            switch step {
            case .stands(let id): links[id]?.stands = true
            case .confirmed(let id): links[id]?.keyring.confirmed()
            case .switched(let id):
                guard let link = links[id] else { continue }
                link.keyring.switched()
                follow(orders.use(id, link.keyring.sendKey))
            case .uses(let id):
                guard let link = links[id] else { continue }
                link.keyring.retireReplaced()
                if link.isOurs { greet(link) }
                link.rekeys += 1
                link.isBusy = false
            case .expects(let id):
                guard let link = links[id], let answer = link.answer.take() else { continue }
                world.after(10_000_000) { [self] in
                    let isDone = link.peer.end?.finishRekey(answer.rawSpan, now: now) ?? false
                    #expect(isDone)
                    link.peer.greet(address(link.owner))
                }
            case .forgotten(let list, let owner):
                for index in list where owner != 0 { indices[Int(owner)].table.free(index) }
            case .gone(let id): zero.table.freePlace(of: id)
            }
        }
    }

    // MARK: Links

    /// Sends the peer a packet under new keys, as `Links` does.
    private func greet(_ link: WorkersLink) {
        zero.table.now = now
        let isSent = zero.table.send(on: link.id) { packet in
            packet.pathID = WorkersPeer.greeting
            packet.zeroSlots(1...4)
            return true
        }
        #expect(isSent)
    }

    private func takeIndex(_ owner: UInt8) -> UInt32 {
        // The place is known to the owner alone.
        let index = owner == 0 ? zero.table.indices.take(for: 0) : indices[Int(owner)].table.take(for: 0)
        return index ?? 0
    }

    /// A link with `peer`, whose packets come to `owner`, begun by the node or by the peer.
    func addLink(_ peer: WorkersPeer, owner: UInt8, isOurs: Bool) throws -> WorkersLink {
        let index = takeIndex(owner)
        let remote = UInt32.random(in: 0x100...0xffff_ffff)
        var pair = try Self.handshake(network, near: isOurs ? index : remote, far: isOurs ? remote : index, now: now)
        guard var ours = pair.far.take(), var theirs = pair.near.take() else { throw Failed() }
        if isOurs { swap(&ours, &theirs) }
        var end = LinkEnd(theirs)
        var timing = LinkKeyring.Timing()
        // A peer may rekey each quarter of that time.
        (timing.rekeyAfter, timing.overlap) = (.seconds(2), .milliseconds(400))
        end.timing = timing
        peer.end = consume end
        var receiver = ours.takeReceiver()
        var keyring = ours.takeKeyring()
        receiver.timing = timing
        keyring.timing = timing
        let (sendKey, liveness) = (keyring.sendKey, Liveness(now: now))
        zero.table.now = now
        let id: LinkID
        if owner == 0 {
            id = zero.table.insert(
                receiver, sendKey: sendKey, liveness: liveness, address: peer.address, mayMove: false)!
            register(peer, id, owner, isOurs, keyring)
            follow(
                orders.add(
                    id, owner: 0, nil, sendKey: sendKey, liveness: liveness, address: peer.address, mayMove: false))
        } else {
            id = zero.table.insert(nil, sendKey: sendKey, liveness: liveness, address: peer.address, mayMove: false)!
            register(peer, id, owner, isOurs, keyring)
            follow(
                orders.add(
                    id, owner: owner, receiver, sendKey: sendKey, liveness: liveness, address: peer.address,
                    mayMove: false))
        }
        return links[id]!
    }

    private func register(
        _ peer: WorkersPeer, _ id: LinkID, _ owner: UInt8, _ isOurs: Bool, _ keyring: consuming LinkKeyring
    ) {
        links[id] = WorkersLink(peer, id, owner: owner, isOurs: isOurs, keyring)
    }

    private struct Pair: ~Copyable {
        var near: NewLink?
        var far: NewLink?
    }

    private static func handshake(_ network: LinkNetwork, near: UInt32, far: UInt32, now: Instant) throws -> Pair {
        let node = LinkIdentity(SigningKey())
        var responder = LinkResponder(network: network, identity: node, limits: LinkResponder.Limits(), now: now)
        var initiator = try LinkInitiator(
            network: network, responder: node.nodeID, identity: LinkIdentity(SigningKey()), localIndex: near, now: now)
        let wallClock = 1_700_000_000_000_000_000 + now.nanoseconds
        guard case .send(let datagram) = initiator.poll(now: now, wallClock: wallClock),
            case .accepted(let initiation) = responder.receive(
                datagram.rawSpan, from: Endpoint(address: IPAddress(v4: 1), port: 1), now: now, wallClock: wallClock,
                isStaked: { _ in true }),
            let answer = initiation.respond(localIndex: far, time: UnixTime(seconds: 1_700_000_000), now: now)
        else { throw Failed() }
        let bytes = answer.bytes
        let link = answer.takeLink()
        guard case .established(let established) = initiator.receive(bytes.rawSpan, now: now) else { throw Failed() }
        return Pair(near: established, far: link)
    }

    private struct Failed: Error {}

    /// Begins a rekey of a link, by the end that began the link.
    func rekey(_ link: WorkersLink) {
        link.isBusy = true
        let id = link.id
        if link.isOurs {
            let body = link.keyring.startRekey(localIndex: takeIndex(link.owner))
            world.after(20_000_000) { [self] in
                let answer = link.peer.end?.answerRekey(
                    body.rawSpan, localIndex: .random(in: 0x100...0xffff_ffff), now: now)
                guard let answer, let keys = link.keyring.finishRekey(answer.rawSpan, now: now) else {
                    Issue.record("no answer")
                    return
                }
                follow(orders.renew(id, keys, link.keyring.sendKey))
            }
        } else {
            guard let body = link.peer.end?.startRekey(localIndex: .random(in: 0x100...0xffff_ffff)) else { return }
            world.after(10_000_000) { [self] in
                guard
                    let answer = link.keyring.answerRekey(
                        body.rawSpan, localIndex: takeIndex(link.owner), now: now)
                else {
                    Issue.record("no answer")
                    return
                }
                link.answer = answer.body
                let sendKey = answer.sendKey
                follow(orders.expect(id, answer.takeKeys(), sendKey))
            }
        }
    }

    /// Takes a link down, and its paths.
    func removeLink(_ link: WorkersLink) {
        for removed in forwarding.removeAll(link: link.id.rawValue) { forget(removed.path) }
        for index in link.keyring.localIndices() {
            if link.owner == 0 { zero.table.indices.free(index) } else { indices[Int(link.owner)].table.free(index) }
        }
        links[link.id] = nil
        follow(orders.remove(link.id))
    }

    // MARK: Paths

    /// Begins a path from one link to another.
    func addPath(_ previous: WorkersLink, _ next: WorkersLink, ids: (UInt64, UInt64)) throws {
        let secret = Secret.random()
        let handle = try forwarding.insert(
            HopKeys(secret: secret, slot: 2, suite: .chacha20poly1305),
            previous: PathNeighbour(link: previous.id.rawValue, pathID: ids.0), nextLink: next.id.rawValue,
            linkLimit: 1_000, owners: (previous.owner, next.owner), now: now)
        let client = HopKeys(secret: secret, slot: 2, suite: .chacha20poly1305).clientEnds(now: now)
        let path = WorkersPath(handle, previous, next, ids: ids, client)
        paths[handle] = path
        previous.peer.paths[ids.0] = path
        next.peer.paths[ids.1] = path
        if forwarding.stands(handle) { connect(handle) }
    }

    private func connect(_ path: PathHandle) {
        guard let entry = paths[path] else { return }
        #expect(PathID.worker(of: forwarding.forwardID(of: path) ?? 0) == entry.previous.owner)
        #expect(PathID.worker(of: forwarding.backwardID(of: path) ?? 0) == entry.next.owner)
        check(forwarding.connect(path, nextPathID: entry.nextID))
        entry.isReady = forwarding.isConnected(path)
    }

    /// Sends a packet over a path, to its link's owner or to another worker.
    func send(over path: WorkersPath, isBack: Bool, to worker: UInt8? = nil) {
        let link = isBack ? path.next : path.previous
        let id = isBack ? forwarding.backwardID(of: path.handle) : forwarding.forwardID(of: path.handle)
        link.peer.send(over: path, isBack: isBack, pathID: id ?? 0, to: address(worker ?? link.owner))
    }

    func removePath(_ path: WorkersPath) {
        check(forwarding.remove(path.handle) != nil)
        forget(path.handle)
    }

    private func forget(_ path: PathHandle) {
        guard let entry = paths.removeValue(forKey: path) else { return }
        entry.previous.peer.paths[entry.previousID] = nil
        entry.next.peer.paths[entry.nextID] = nil
    }

    // MARK: State

    /// What has happened at all workers.
    var counters: [LinkCounters] { [zero.counters] + others.map(\.links.counters) }
    /// How many packets were dropped by paths.
    var pathDrops: UInt64 { (drops + others.flatMap(\.drops)).reduce(0, +) }
    /// How many halves of paths there are.
    var halfCount: Int { forwarding.halves.count + others.map(\.halfCount).reduce(0, +) }
    /// How many links and receiver indices the workers have, and worker 0 keeps for them.
    var leftOver: [Int] {
        let tables =
            [zero.table.count, zero.table.indices.count]
            + others.flatMap { [$0.links.table.count, $0.links.table.indices.count] }
        return tables + indices.map { $0.table.count } + [orders.count]
    }

    /// Delivers what was held.
    func release(to worker: Int) {
        for copies in held { linkWorker(worker)?.take(copies) }
        held = []
    }
}

/// `#expect` for conditions that use values which cannot be copied.
private func check(_ condition: Bool, _ location: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: location)
}

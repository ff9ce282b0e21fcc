internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Paths
internal import Requests
internal import Sessions
internal import Transport
internal import Wire

/// The anonymous client that a node uses to test others' storage: onion requests over links without an identity from
/// its own ports.
///
/// `RequestClient` decides, as for any client. Each request has an isolation key of its own, so that no session serves
/// two of them. The asked node is in no path to its proxy.
///
/// It has more members than most types: the links, and what is under way.
final class TestRequests: PacketHandler, ControlHandler {
    typealias Number = RequestClient.Number

    /// The number of path indices among which a client draws.
    private static let indices: UInt32 = 512

    private enum Opening {
        case building
        case ready(TestSession)
    }

    private let links: Links
    private let nodes: KnownNodes
    private let choice: TestChoice
    private let maker: PathMaker
    private let packetSize: Int
    private let network: Bytes32
    private let turn: SessionTurn
    private var client: RequestClient
    private var sessions: [Number: Opening] = [:]
    /// The sessions by the ids of their paths.
    private var paths: [UInt64: Number] = [:]
    private var attempts: [Number: StreamExchange] = [:]
    private var waiting: [Number: (RequestClient.Outcome) -> Void] = [:]
    private var timer: LoopTimer?
    private var actions: [RequestClient.Action] = []
    private var isActing = false
    private var lastIsolation: UInt64 = 0

    init(on loop: Loop, network: NetworkFile, nodes: KnownNodes, choice: TestChoice) throws {
        var setup = LinksConfiguration(
            network: LinkNetwork(id: network.id, packetSize: network.packetSize),
            listen: [.anyIPv4(port: 0), .anyIPv6(port: 0)], messages: [PathMessage.destroy.kind])
        setup.mayLackFamily = true
        setup.maximumLinks = 256
        let links = try Links(on: loop, configuration: setup, identity: nil)
        self.links = links
        self.nodes = nodes
        self.choice = choice
        self.network = network.id
        packetSize = network.packetSize
        maker = PathMaker(links: links, network: network.id, clock: { [links] in links.ownTime })
        turn = SessionTurn(loop: loop)
        client = RequestClient(network: network.id, random: SecureRandom()) { target in { $0 != target } }
        loop.addAtTurnEnd { [turn] in turn.run() }
        timer = LoopTimer(on: loop) { [weak self] in
            guard let self else { return }
            perform(client.advance(now, time: links.ownTime))
        }
        links.client = self
        links.control = self
    }

    private var now: Instant { links.now }
    private var time: UnixTime { links.ownTime }

    /// Asks `node`; `done` is called once, at the latest 10 s later, and perhaps inside this call.
    ///
    /// The proxy is not of `swarm` if there are others.
    func ask(
        _ node: NodeID, _ method: RequestMethod, of box: Bytes32, swarm: [NodeID],
        arguments: @escaping @Sendable (Bytes32) -> [UInt8], done: @escaping (RequestClient.Outcome) -> Void
    ) {
        guard timer != nil, let key = nodes.descriptor(of: node)?.descriptor.onionKey else { return done(.noProxy) }
        client.nodes = choice.proxies
        lastIsolation += 1
        let call = RequestClient.Call(
            scope: .init(isolation: lastIsolation, purpose: .box(box)), method: method,
            targets: [.init(node: node, onionKey: key)], swarm: Set(swarm), arguments: arguments)
        let (number, actions) = client.ask(call, now: now, time: time)
        waiting[number] = done
        perform(actions)
    }

    /// Ends all requests, sessions and links.
    func close(completion: @escaping () -> Void) {
        timer?.close()
        timer = nil
        actions = []
        for attempt in attempts.values { attempt.cancel() }
        attempts = [:]
        for case .ready(let session) in sessions.values { session.end() }
        (sessions, paths, waiting) = ([:], [:], [:])
        links.closeAll(completion: completion)
    }

    // MARK: Actions

    /// Performs `new` actions; the actions that follow from one are performed after all earlier ones.
    private func perform(_ new: [RequestClient.Action]) {
        actions.append(contentsOf: new)
        guard !isActing else { return }
        isActing = true
        var next = 0
        while next < actions.count {
            let action = actions[next]
            next += 1
            perform(action)
        }
        actions = []
        isActing = false
        guard let timer else { return }
        if let next = client.nextDeadline { timer.schedule(at: next.nanoseconds) } else { timer.cancel() }
    }

    private func perform(_ action: RequestClient.Action) {
        switch action {
        case .openSession(let number, let proxy): build(number, to: proxy)
        case .closeSession(let number):
            if case .ready(let session)? = sessions.removeValue(forKey: number) { session.end() }
            paths = paths.filter { $0.value != number }
        case .send(let attempt, let session, let bytes): send(attempt, session, bytes)
        case .cancel(let attempt): attempts.removeValue(forKey: attempt)?.cancel()
        case .checkDescriptor(let attempt, let node, let bytes):
            perform(client.keyChecked(attempt, nodes.onionKey(of: node, in: bytes), now: now, time: time))
        case .finished(let call, let outcome): waiting.removeValue(forKey: call)?(outcome)
        }
    }

    private func send(_ attempt: Number, _ session: Number, _ bytes: [UInt8]) {
        guard case .ready(let open)? = sessions[session] else { return }
        do throws(StreamError) {
            attempts[attempt] = try StreamExchange(
                bytes, on: open.session, longest: OuterAnswer.longestForClient
            ) { [weak self] in self?.received(attempt, $0) }
        } catch {
            received(attempt, nil)
        }
    }

    private func received(_ attempt: Number, _ answer: [UInt8]?) {
        attempts[attempt] = nil
        perform(client.received(attempt, answer, now: now, time: time))
    }

    // MARK: Sessions

    private func build(_ number: Number, to proxy: NodeID) {
        guard let target = client.target(ofSession: number) else { return }
        guard let path = choice.requestPath(to: proxy, avoiding: target) else { return ended(number) }
        let hops = path.compactMap(choice.hop)
        // A hop without a descriptor must not make the path shorter.
        guard let first = hops.first, hops.count == path.count else { return ended(number) }
        let pathID = maker.pathID(at: SecureRandom.u32() % Self.indices)
        sessions[number] = .building
        maker.build(
            hops.map(\.target), at: first.addresses, as: pathID, limits: (TestPath.linkLimit, TestPath.buildLimit),
            isWanted: { [weak self] in self?.isBuilding(number) ?? false }, linked: { _ in },
            completion: { [weak self] in self?.built(number, pathID, $0) })
    }

    private func isBuilding(_ number: Number) -> Bool {
        if case .building? = sessions[number] { true } else { false }
    }

    private func built(_ number: Number, _ pathID: UInt64, _ outcome: consuming PathOutcome) {
        guard case .built(let path) = consume outcome else { return ended(number) }
        let session = TestSession(turn: turn, links: links, packetSize: packetSize, path: consume path) {
            [weak self] in self?.ended(number)
        }
        sessions[number] = .ready(session)
        paths[pathID] = number
        perform(client.sessionReady(number, now: now, time: time))
    }

    /// Handles the end of a session, or the failure to begin one.
    private func ended(_ number: Number) {
        sessions[number] = nil
        paths = paths.filter { $0.value != number }
        perform(client.sessionEnded(number, now: now, time: time))
    }

    // MARK: Links

    private func session(_ pathID: UInt64, on link: LinkID) -> TestSession? {
        guard let number = paths[pathID], case .ready(let session)? = sessions[number], session.link == link else {
            return nil
        }
        return session
    }

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        for index in 0..<packets.count {
            let arrival = packets[index]
            guard let session = session(arrival.pathID, on: arrival.link) else { continue }
            var packet = packets.packet(index)
            session.received(&packet) { table.commit(arrival) }
        }
    }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        guard message == PathMessage.destroy.kind else { return links.refuse(responder) }
        if let message = DestroyMessage(body) { session(message.pathID, on: link)?.pathLost() }
        links.answer(responder, [])
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {}

    func linkDown(_ link: LinkID, reason: LinkDownReason) {
        for case .ready(let session) in sessions.values where session.link == link { session.pathLost() }
    }
}

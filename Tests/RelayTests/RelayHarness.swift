import Directory
import EventLoop
import Glibc
import Link
import Links
import Logging
import LoopTesting
import Onion
import OnionCrypto
import Paths
import Store
import Testing
import Transport
import Wire

@testable import Relay

/// How many workers relays have: 1, or the number in TUNIC_TEST_WORKERS; on simulated time without threads.
let testWorkers = unsafe getenv("TUNIC_TEST_WORKERS").flatMap { unsafe Int(String(cString: $0)) } ?? 1

/// One relay on 127.0.0.1, and a second node that has links and answers nothing.
final class RelayHarness {
    let loop: Loop
    let network: NetworkFile
    private(set) var relay: Relay
    let node: NodeID
    /// The node behind the relay.
    let silent: Links
    let silentID: NodeID
    private let quiet = Quiet()
    private let seeds: [[UInt8]]
    private var clients: [TestClient] = []

    /// A relay on simulated time, or with the kernel's sockets if `isSimulated` is false.
    ///
    /// `isListed`: whether the registry of the other node has the relay. `store` is what the relay keeps, `resolvers`
    /// are the name servers of an exit.
    init(
        exit: Bool = false, sessions: Int? = nil, isListed: Bool = true, isSimulated: Bool = true,
        workers: Int = testWorkers, store: Store? = nil, resolvers: [String]? = nil,
        _ change: (inout NetworkFile) -> Void = { _ in }
    ) throws {
        loop = isSimulated ? Loop.simulated() : try Loop()
        let seeds = [SecureRandom.bytes(32), SecureRandom.bytes(32)]
        self.seeds = seeds
        func key(_ number: Int) -> SigningKey { Self.key(seeds[number]) }
        let ids = [NodeID(key(0).publicKey), NodeID(key(1).publicKey)]
        let id = Bytes32(copying: SecureRandom.bytes(32).rawSpan)
        let time = UnixTime(seconds: loop.wallClock / 1_000_000_000)
        let entries = ids.map { Snapshot.Entry(node: $0, operatorID: $0.key, weight: 1, placement: 0) }
        var signed = SignedSnapshot(try #require(Snapshot(network: id, height: 1, time: time, entries: entries)))
        for number in 0...1 { signed.sign(with: key(number)) }

        let linkNetwork = LinkNetwork(id: id)
        silent = try Links(
            on: loop,
            configuration: LinksConfiguration(
                network: linkNetwork, listen: [.loopbackIPv4(port: 0)], messages: RelayMessage.kinds),
            identity: LinkIdentity(key(1)), isStaked: { $0 == ids[1] || isListed && $0 == ids[0] })
        silent.control = quiet
        let behind = NetworkFile.Bootstrap(node: ids[1], addresses: silent.localAddresses.map { Endpoint($0) })
        var file = NetworkFile(name: "test", id: id, bootstrap: [behind], snapshot: signed)
        file.allowPrivateAddresses = true
        change(&file)
        network = file
        var configuration = RelayConfiguration(listen: [Endpoint("127.0.0.1:0")!])
        configuration.isExit = exit
        configuration.workers = workers
        if let sessions { configuration.exitSessions = sessions }
        configuration.exitResolvers = resolvers
        configuration.exitAllowed = [CIDR("127.0.0.0/8")!]
        relay = try Relay(
            loop: loop, network: file, configuration: configuration, identity: key(0), store: store,
            log: Self.log, sentence: \.text)
        relay.start()
        node = ids[0]
        silentID = ids[1]
    }

    private static func key(_ seed: [UInt8]) -> SigningKey { SigningKey(seed: Secret(copying: seed.rawSpan)) }
    private static var log: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

    /// Ends the relay, and starts one with its identity and `store`, at another port.
    func restart(store: Store) throws {
        var isClosed = false
        relay.close { isClosed = true }
        run { isClosed }
        relay = try Relay(
            loop: loop, network: network, configuration: RelayConfiguration(listen: [Endpoint("127.0.0.1:0")!]),
            identity: Self.key(seeds[0]), store: store, log: Self.log, sentence: \.text)
        relay.start()
    }

    deinit {
        for client in clients { client.links.closeAll() }
        silent.closeAll()
        relay.close {}
        loop.close()
    }

    /// Runs the loop until `condition` holds; false if it does not within `limit`.
    @discardableResult
    func run(for limit: TimeSpan = .seconds(60), until condition: () -> Bool) -> Bool {
        loop.run(for: limit, until: condition)
    }

    /// A client whose address ends with `host`; it has a link to the relay and the relay's onion key.
    func client(at host: UInt32 = 1) throws -> TestClient {
        let client = try TestClient(self, at: SocketAddress(ipv4: 0x7f00_0000 + host, port: 0))
        clients.append(client)
        return client
    }
}

/// Ignores all messages.
private final class Quiet: ControlHandler {
    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {}
    func linkUp(_ link: LinkID, peer: LinkPeer) {}
    func linkDown(_ link: LinkID, reason: LinkDownReason) {}
}

/// The result of a build.
enum Built: Equatable {
    case path(UInt64)
    case refused(Int, BuildStatus)
    case broken
    /// The stream of the message was reset.
    case reset
}

/// A client that the test controls: links, builds, and one path with a connection.
final class TestClient: PacketHandler, ControlHandler {
    let links: Links
    private unowned let harness: RelayHarness
    private(set) var link: LinkID
    private(set) var onionKey: [UInt8] = []
    let maker: PathMaker
    private var path: BuiltPath?
    var connection = Connection(role: .initiator, seed: 5)
    /// The path ids in the received DESTROY messages.
    private(set) var destroyed: [UInt64] = []
    /// The path id under which packets of the last path arrive.
    private(set) var pathID: UInt64 = 0

    init(_ harness: RelayHarness, at address: SocketAddress) throws {
        self.harness = harness
        links = try Links(
            on: harness.loop,
            configuration: LinksConfiguration(
                network: LinkNetwork(id: harness.network.id), listen: [address], messages: PathMessage.kinds),
            identity: nil)
        maker = PathMaker(links: links, network: harness.network.id, clock: { [links] in links.time })
        link = LinkID(rawValue: 0)
        links.client = self
        links.control = self
        var up: Result<LinkID, LinkFailure>?
        links.link(to: harness.node, at: harness.relay.listenAddresses) { up = $0 }
        harness.run { up != nil }
        link = try #require(up).get()
        var found: [UInt8]?
        links.request(on: link, DirectoryMessage.getDescriptor, body: harness.node.key.array) { found = try? $0.get() }
        harness.run { found != nil }
        let bytes = try #require(found)
        onionKey = try SignedDescriptor(decoding: bytes.rawSpan).descriptor.onionKey
    }

    /// Sends a BUILD for these hops, all with the relay's onion key.
    private func build(_ hops: [NodeID], then: @escaping (consuming PathOutcome) -> Void) {
        let targets = hops.map { HopTarget(node: $0.key, onionKey: onionKey, suite: .chacha20poly1305) }
        pathID = maker.pathID(at: 0)
        maker.build(targets, over: link, as: pathID, limit: .seconds(10), completion: then)
    }

    /// Builds a path of one hop and keeps it; `then` gets the result.
    func build(then: @escaping (Built) -> Void) {
        build([harness.node]) { [self] outcome in
            switch consume outcome {
            case .built(let built):
                let id = built.guardPathID
                path = consume built
                then(.path(id))
            case .refused(let hop, let status): then(.refused(hop, status))
            case .broken: then(.broken)
            default: then(.reset)
            }
        }
    }

    /// Builds a path of one hop and waits for the result.
    func build() throws -> Built {
        var result: Built?
        build { result = $0 }
        harness.run { result != nil }
        return try #require(result)
    }

    /// Asks for a path that goes on to `next`, without waiting; `then` gets the result.
    func beginBuild(to next: NodeID, then: @escaping (Built) -> Void = { _ in }) {
        build([harness.node, next]) { outcome in
            switch consume outcome {
            case .built(let built): then(.path(built.guardPathID))
            case .refused(let hop, let status): then(.refused(hop, status))
            case .broken: then(.broken)
            default: then(.reset)
            }
        }
    }

    func destroy(_ pathID: UInt64) {
        links.send(on: link, PathMessage.destroy, body: DestroyMessage(pathID: pathID).encoded)
    }

    // MARK: Session

    /// Begins a session over the path.
    func beginSession() {
        let hello = LegHello(leg: 0, kind: .newSession)
        connection.addLeg(LegID(0), payloadSize: 1_260, preamble: hello.encoded, now: links.now)
    }

    /// Sends the packets that the connection has to send.
    func pump() {
        while connection.wantsToSend(leg: LegID(0), now: links.now) {
            let isSent = sendPacket { number, payload in
                connection.writePacket(leg: LegID(0), packetNumber: number, into: &payload, now: links.now)
            }
            if !isSent { break }
        }
    }

    /// Sends one packet with the payload `frames`, past the connection.
    func sendRaw(_ frames: [UInt8]) {
        _ = sendPacket { _, payload in
            for (offset, byte) in frames.enumerated() {
                payload.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
            }
            return true
        }
    }

    private func sendPacket(_ fill: (UInt64, inout MutableRawSpan) -> Bool) -> Bool {
        path?.send(over: links, now: links.now) { number, payload in
            for offset in 0..<payload.byteCount { payload.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self) }
            return fill(number, &payload)
        } ?? false
    }

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        let now = Instant(nanoseconds: harness.loop.now)
        for index in 0..<packets.count {
            let arrival = packets[index]
            var packet = packets.packet(index)
            guard case .packet(let number) = path?.layers.open(&packet, now: now), table.commit(arrival) else {
                continue
            }
            let payload = packet.bytes.extracting(droppingFirst: Packet.payloadOffset)
            _ = connection.receive(leg: LegID(0), packetNumber: number, payload: payload, now: now)
        }
    }

    /// The exit's answer to a request for `destination`.
    func open(_ destination: Endpoint) throws -> OpenReply.Status? {
        let id = try connection.openStream()
        let request = OpenRequest(
            destination: Destination(host: .address(destination.address), port: destination.port)
        ).encoded()
        _ = connection.write(id, request.rawSpan)
        var status: OpenReply.Status?
        harness.run {
            connection.deadlineReached(now: links.now)
            while connection.nextEvent() != nil {}
            pump()
            connection.withReadable(id) { bytes in
                guard let found = try? OpenReply.decode(from: bytes) else { return 0 }
                status = found.reply.status
                return found.consumed
            }
            return status != nil
        }
        return status
    }

    // MARK: Control

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        if message == PathMessage.destroy.kind, let message = DestroyMessage(body) { destroyed.append(message.pathID) }
        links.answer(responder, [])
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {}
    func linkDown(_ link: LinkID, reason: LinkDownReason) {}
}

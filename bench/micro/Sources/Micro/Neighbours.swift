internal import Directory
internal import EventLoop
internal import Glibc
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Store
internal import Wire

/// Plays both neighbours of one relay, which is a process of its own: the client before it, and the node behind it where a path of
/// two hops ends.
///
/// Links and path are real, over UDP. Packets are sealed in a burst, which leaves by one system call in segmented messages; the next
/// burst follows when the last packet of this one has come out of the relay at the other side. One packet goes the other way with each,
/// so that no link takes its other end for silent. Nothing else is sent, so that the relay gets batches of the burst's size however
/// slowly it runs.
final class Neighbours: ControlHandler {
    /// How long a burst may take.
    private static let patience = TimeSpan.seconds(60)

    private let loop: Loop
    private let file: NetworkFile
    private let relay: NodeID
    private let relayAddress: Endpoint
    private let node: Links
    private let client: Links
    private let noMessages = NoMessages()
    private let suite: Suite
    private let terminal: Terminal
    private let forward: Sink
    private let backward: Sink
    /// The client's end of the path, and how it is sent to: set when the path stands.
    private var path: ClientEnd?
    private var isBuilding = false
    private var watch: DescriptorWatch?
    private var timeout: LoopTimer?
    /// The bursts that are still to be sent, each of how many packets, and in which direction.
    private var left = 0
    private var size = 0
    private var goesForward = true
    private var sent = 0

    /// Makes a network of the relay and a node that is played here; writes the network file and the relay's key in `folder`, and
    /// says where the relay is to listen.
    init(folder: String, suite: Suite) throws {
        let loop = try Loop()
        self.loop = loop
        self.suite = suite
        // Ports that are free now; nobody else takes them in between.
        let holders = try (0..<2).map { _ in
            try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), configuration: .small, receiver: nil)
        }
        let addresses = holders.map { Endpoint($0.localAddress) }
        for holder in holders { holder.close() }
        let own = addresses[1]
        relayAddress = addresses[0]
        let time = UnixTime(seconds: Loop.systemClock() / 1_000_000_000)
        let plans = addresses.map { NetworkCreation.Plan(addresses: [$0]) }
        var creation = NetworkCreation(name: "micro", nodes: plans, at: time)
        creation.file.allowPrivateAddresses = true
        creation.file.requireAddressDiversity = false
        file = creation.file
        relay = creation.nodes[0].id
        try StateFile.write(file.json(), to: "\(folder)/network.json")
        try KeyFile.save(creation.nodes[0].key, to: "\(folder)/relay/\(KeyFile.name)")
        let network = LinkNetwork(id: file.id, packetSize: file.packetSize)
        let staked = relay
        let identity = Self.copy(creation.nodes[1].key)
        node = try Links(
            on: loop,
            configuration: LinksConfiguration(
                network: network, listen: [SocketAddress(own)], messages: PathMessage.kinds + DirectoryMessage.kinds),
            identity: LinkIdentity(identity), isStaked: { $0 == staked })
        client = try Links(
            on: loop,
            configuration: LinksConfiguration(
                network: network, listen: [.loopbackIPv4(port: 0)], messages: PathMessage.kinds + DirectoryMessage.kinds
            ),
            identity: nil)
        terminal = Terminal(network: file.id, node: creation.nodes[1].id, now: node.now)
        (forward, backward) = (Sink(), Sink())
        node.control = self
        client.control = noMessages
        node.relay = forward
        client.client = backward
        forward.onPacket = { [unowned self] in came() }
        backward.onPacket = { [unowned self] in came() }
        watch = try DescriptorWatch(on: loop, descriptor: STDIN_FILENO) { [unowned self] in readCommand() }
        timeout = LoopTimer(on: loop) { fail("the relay did not pass on all packets") }
        say(#"{"listen": "\#(relayAddress)"}"#)
    }

    private static func copy(_ key: borrowing SigningKey) -> SigningKey {
        SigningKey(seed: Secret(copying: key.seedBytes))
    }

    /// Runs until standard input ends.
    func run() { loop.run() }

    // MARK: The path

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder answer: ControlResponder) {
        switch message {
        case PathMessage.build.kind:
            guard let built = terminal.build(body, from: link, at: node.time, now: node.now) else {
                fail("the relay's build")
            }
            node.answer(answer, built)
        case DirectoryMessage.publish.kind:
            node.answer(answer, [])
            let list = (try? SignedDescriptor.decodeList(body.rawSpan)) ?? []
            if let own = list.first(where: { $0.descriptor.node == relay }) { build(over: own.descriptor.onionKey) }
        case DirectoryMessage.getDescriptors.kind: node.answer(answer, SignedDescriptor.encodeList([]))
        default: node.refuse(answer)
        }
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {}
    func linkDown(_ link: LinkID, reason: LinkDownReason) {}

    private func build(over onionKey: [UInt8]) {
        guard !isBuilding else { return }
        isBuilding = true
        client.link(to: relay, at: [relayAddress]) { [unowned self] result in
            guard case .success(let link) = result else { fail("no link to the relay") }
            let targets = [
                HopTarget(node: relay.key, onionKey: onionKey, suite: suite),
                HopTarget(node: terminal.node.key, onionKey: terminal.onionKey, suite: suite),
            ]
            guard let builder = try? PathBuilder(hops: targets, network: file.id, time: node.time) else {
                fail("no build can be made")
            }
            let id = PathID.make(worker: 0, index: PathID.clientBit, random: 1)
            let message = builder.message(pathID: id)
            let end = ClientEnd(builder, link: link)
            client.request(on: link, PathMessage.build, body: message) { [unowned self] result in
                guard case .success(let body) = result, end.finish(body, now: client.now) else {
                    fail("the path was not built")
                }
                path = end
                say(#"{"ready": true}"#)
            }
        }
    }

    // MARK: Bursts

    /// `forward SIZE COUNT` or `backward SIZE COUNT`: so many bursts of so many packets.
    private func readCommand() {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = unsafe read(STDIN_FILENO, &bytes, bytes.count)
        guard count > 0 else { exit(0) }
        let words = String(decoding: bytes[..<count], as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard words.count == 3, let size = Int(words[1]), let bursts = Int(words[2]), size > 0, bursts > 0, left == 0
        else { fail("no such command") }
        (goesForward, self.size, left, sent) = (words[0] == "forward", size, bursts, 0)
        sendBurst()
    }

    private func sendBurst() {
        guard left > 0 else {
            timeout?.cancel()
            return say(#"{"packets": \#(sent)}"#)
        }
        left -= 1
        timeout?.schedule(at: (client.now + Self.patience).nanoseconds)
        (forward.expected, backward.expected) = goesForward ? (size, 1) : (1, size)
        for _ in 0..<forward.expected where path?.send(on: client) != true { fail("\(size) packets have no room") }
        for _ in 0..<backward.expected where !terminal.send(on: node) { fail("\(size) packets have no room") }
        sent += size + 1
    }

    /// The last packet of a burst has come at one end.
    private func came() {
        guard forward.expected == 0, backward.expected == 0 else { return }
        // Not inside of the packet handler, which has the table to itself.
        timeout?.cancel()
        next.schedule(at: 0)
    }

    private lazy var next = LoopTimer(on: loop) { [unowned self] in sendBurst() }

    private func say(_ line: String) {
        print(line)
        fflush(nil)
    }
}

/// Takes packets at one end, and says when as many have come as were expected.
private final class Sink: PacketHandler {
    var expected = 0
    var onPacket: () -> Void = {}

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        for number in 0..<packets.count {
            guard table.commit(packets[number]) else { fail("a packet came twice") }
        }
        guard packets.count <= expected else { fail("packets that were not sent") }
        expected -= packets.count
        if expected == 0 { onPacket() }
    }
}

/// The client's end of the path.
private final class ClientEnd {
    private let link: LinkID
    private var builder: PathBuilder?
    private var path: ClientPath?
    private var pathID: UInt64 = 0

    init(_ builder: consuming PathBuilder, link: LinkID) {
        self.link = link
        self.builder = consume builder
    }

    /// Takes the answer; false when it is not that of a path.
    func finish(_ body: [UInt8], now: Instant) -> Bool {
        guard let builder = builder.take(), case .built(let path, let id) = builder.receive(body.rawSpan, now: now)
        else { return false }
        self.path = consume path
        pathID = id
        return true
    }

    func send(on links: Links) -> Bool {
        let now = links.now
        return links.withTable { table in
            table.send(on: link) { packet in
                packet.pathID = pathID
                return path?.seal(&packet, now: now) != nil
            }
        }
    }
}

/// The end of the path at the node.
private final class Terminal {
    let node: NodeID
    let onionKey: [UInt8]
    private var responder: BuildResponder
    private var table = ForwardingTable(worker: 0, maximumPaths: 64)
    private var end: (path: PathHandle, link: LinkID)?

    init(network: Bytes32, node: NodeID, now: Instant) {
        guard let keys = try? OnionKeys(now: now) else { fail("no onion key") }
        self.node = node
        onionKey = keys.publicKey
        responder = BuildResponder(
            network: network, node: node.key, keys: keys, cache: BuildReplayCache(now: now))
    }

    /// The answer to BUILD.
    func build(_ body: [UInt8], from link: LinkID, at time: UnixTime, now: Instant) -> [UInt8]? {
        var reader = ByteReader(body.rawSpan)
        let records = Array(body.dropFirst(8))
        guard let pathID = try? reader.u64(), records.count == BuildMessage.recordsSize,
            case .terminal(let keys, let reply, _) = responder.open(records.rawSpan, from: 0, time: time, now: now),
            let path = try? table.insert(
                keys, previous: PathNeighbour(link: link.rawValue, pathID: pathID), nextLink: nil, linkLimit: 64,
                now: now),
            let id = table.forwardID(of: path)
        else { return nil }
        end = (path, link)
        return BuildMessage.encode(pathID: id, reply.answer(.ready))
    }

    func send(on links: Links) -> Bool {
        guard let end else { return false }
        let now = links.now
        return links.withTable { table in
            table.send(on: end.link) { packet in
                if case .send = self.table.sealAtTerminal(end.path, &packet, now: now).verdict { true } else { false }
            }
        }
    }
}

/// Takes no message: its links only send.
private final class NoMessages: ControlHandler {
    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {}
    func linkUp(_ link: LinkID, peer: LinkPeer) {}
    func linkDown(_ link: LinkID, reason: LinkDownReason) {}
}

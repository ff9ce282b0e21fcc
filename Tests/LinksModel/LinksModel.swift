internal import CSimulation
internal import EventLoop
internal import Link
internal import Links
internal import OnionCrypto
internal import SeededRandom
public import Wire

/// Two honest nodes and an honest client with their links, and a hostile peer that is node, client and eavesdropper.
///
/// All runs in memory on simulated time. The network loses, doubles, delays and reorders packets, parts, and moves the
/// client; clocks jump; processes end and start again. The hostile peer hears everything and sends from any address. It
/// makes links and lies on them, stalls, repeats, and goes away. The choices come from outside: a seed, or a fuzzer's
/// input.
///
/// A broken promise traps. Messages and packets of honest ends come at most once, unchanged, from the end that sent
/// them. A link of honest ends ends for a reason of their own or the network's, never for the hostile peer's. Honest
/// ends that reach each other have a working link within ``wellTime`` of the network being well. Tables keep their
/// bounds, and nothing is left in them of a hostile peer that has gone. ``Witness`` has what an eavesdropper can check.
///
/// It has more members than most types: the parties, and the state of the network.
public final class LinksModel {
    /// What was reached, so that a test can tell that it tried something.
    public struct Reached: Sendable {
        /// Links that came up at honest ends.
        public var links = 0
        /// Messages that honest ends received, those of them that were hostile, and answers between honest ends.
        public var messages = 0, hostileMessages = 0, answers = 0
        /// Data packets of honest ends that arrived, and those that went on over another link.
        public var packets = 0, forwarded = 0
        /// Honest links that were found dead, and links that gave way.
        public var dead = 0, gaveWay = 0
        /// Renewals of keys, and moves of links.
        public var rekeys: UInt64 = 0, moves: UInt64 = 0
        /// Links that the hostile peer has had.
        public var hostileLinks = 0
        /// The longest time from a well network to a working link.
        public var slowest = TimeSpan.zero
    }

    static let nodeCount = 2
    /// The number of the honest client, which comes after the nodes.
    static let client = 2
    static let port: UInt16 = 4_433
    static let network = LinkNetwork(
        id: Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan), packetSize: Packet.minimumSize)
    static let longAnswer = [UInt8](repeating: 9, count: 300_002)

    /// The time within which honest ends have a working link once the network is well.
    public static let wellTime = TimeSpan.seconds(25)
    /// How long after trouble a link may be found dead: it may have to be silent for 10 s, and then for 10 s more.
    static let deadTime: UInt64 = 25_000_000_000
    /// How long after trouble a link may end for its keys.
    static let keyTime: UInt64 = 45_000_000_000
    /// How long a wish for a link may take.
    static let wishTime: UInt64 = 11_000_000_000
    /// How much later than its timeout a message may end.
    static let housekeeping: UInt64 = 2_000_000_000

    let world: SimulatedWorld
    var random: SeededGenerator
    /// The ids of the nodes; the last one is hostile.
    let ids: [NodeID]
    private(set) var ends: [HonestEnd] = []
    private(set) var hostile: Hostile!
    private var witness = Witness()
    var ledger = Ledger()
    /// How much each end's machine has slept.
    var slept: [UInt64] = [0, 0, 0]
    /// The addresses that the client has had, and their shares.
    private var clientAddresses: Set<SocketAddress> = []
    private(set) var clientShares: Set<AddressShare> = []
    private var isTroubled = false
    /// Whether honest ends answer all messages at once, and none later or never.
    var isProving = false
    private var healedAt: UInt64 = 0
    /// What was reached so far.
    public internal(set) var reached = Reached()

    static func configuration(_ listen: SocketAddress) -> LinksConfiguration {
        var result = LinksConfiguration(
            network: network, listen: [listen], messages: Message.kinds + PathMessage.kinds)
        result.maximumLinks = 16
        result.maximumHandshakes = 16
        result.maximumHalfOpen = 16
        result.keys.rekeyAfter = .seconds(8)
        result.keys.overlap = .seconds(2)
        result.keys.keyLifetime = .seconds(30)
        result.keys.rekeyRetry = .seconds(2)
        result.clientIdle = .seconds(20)
        result.nodeIdle = .seconds(40)
        result.messageTime = .seconds(5)
        result.answerTime = .seconds(10)
        result.maximumClientMemory = 2 << 20
        result.answerMemory = 2 << 20
        result.messagesPerLink = 16
        result.socket.kernelBufferSize = 1 << 20
        result.socket.sendSlotCount = 128
        return result
    }

    /// A well network, on which there is no link yet.
    public init(seed: UInt64) {
        simulation_begin(seed)
        random = SeededGenerator(seed: seed)
        world = SimulatedWorld(seed: seed)
        ids = (0...Self.nodeCount).map { NodeID(HonestEnd.key($0).publicKey) }
        hostile = Hostile(self, seed: seed &+ 1)
        for number in 0...Self.client {
            let host = world.addHost(at: [SocketAddress(ipv4: 0x0a00_0101 + UInt32(number) << 8, port: 0)])
            ends.append(HonestEnd(self, number: number, host: host))
        }
        noteClient()
        world.overhear = { [unowned self] in overheard($0, $1, $2) }
        heal()
    }

    deinit { simulation_end() }

    var now: UInt64 { world.now }
    /// When the last trouble of the network or of a clock ended.
    var troubleUntil: UInt64 { isTroubled ? world.now : healedAt }

    private func noteClient() {
        let address = ends[Self.client].host.addresses[0]
        clientAddresses.insert(address)
        clientShares.insert(AddressShare(Endpoint(address).address))
    }

    // MARK: The network

    private func end(at address: SocketAddress) -> Int? {
        let address = address.with(port: 0)
        if clientAddresses.contains(address) { return Self.client }
        return ends.firstIndex { $0.host.addresses.contains(address) }
    }

    private func overheard(_ bytes: [UInt8], _ source: SocketAddress, _ target: SocketAddress) {
        guard let from = end(at: source) else { preconditionFailure("a datagram of no honest end") }
        let to = end(at: target)
        witness.hear(bytes, from: from, source, to: to, target, size: Self.network.packetSize) { index in
            to.flatMap { ends[$0].links?.link(named: index) }
        }
        if to == nil { hostile.hear(bytes, from: from, at: target) }
    }

    /// Sends hostile bytes to an honest end.
    func inject(_ bytes: [UInt8], from source: SocketAddress, to end: Int, after delay: UInt64) {
        witness.sent(bytes.count, from: source)
        world.inject(bytes, from: source, to: ends[end].address, after: delay)
    }

    func proves(_ address: SocketAddress) { witness.proves(address) }
    var seen: [Witness.Datagram] { witness.seen }
    /// The end that a datagram was for.
    func target(of datagram: Witness.Datagram) -> Int? { end(at: datagram.target) }

    private func trouble(_ choose: (Int) -> Int) {
        isTroubled = true
        let end = choose(3)
        let host = ends[end].host
        switch choose(9) {
        case 0: host.line.loss = Double(choose(50)) / 100
        case 1: host.line.duplication = Double(choose(60)) / 100
        case 2: host.line.jitter = UInt64(choose(500)) * 1_000_000
        case 3: host.line.delay = UInt64(1 + choose(300)) * 1_000_000
        case 4: host.isCut.toggle()
        case 5:
            let other = ends[choose(3)].host
            world.passes = { !($0 === host && $1 === other) }
        case 6: (host.line.rate, host.line.queue) = (20_000 + UInt64(choose(200)) * 1_000, 500_000_000)
        case 7: jump(end, choose)
        default: slept[end] &+= UInt64(choose(100_000)) * 1_000_000_000
        }
    }

    /// Sets a wall clock wrong: a client's by years, one node's ahead, the other node's back.
    ///
    /// A node that was up to ten minutes ahead, and is started again after its clock was set right, waits for its last
    /// timestamp to pass; so does one whose peer was ahead too.
    private func jump(_ end: Int, _ choose: (Int) -> Int) {
        let seconds = Int64(601 + choose(70_000))
        switch end {
        case 0: ends[0].host.clockError = seconds * 1_000_000_000
        case 1: ends[1].host.clockError = -seconds * 1_000_000_000
        default: ends[2].host.clockError = (seconds * 4_000 - 140_000_000) * 1_000_000_000
        }
    }

    func heal() {
        for end in ends {
            end.host.line = SimulatedLine()
            end.host.line.delay = 5_000_000 + UInt64(end.number) * 5_000_000
            end.host.line.jitter = 3_000_000
            end.host.isCut = false
            end.host.clockError = 0
        }
        world.passes = nil
        if isTroubled { healedAt = world.now }
        isTroubled = false
    }

    private func move() {
        let address = SocketAddress(ipv4: 0x0a01_0001 + UInt32(clientAddresses.count) << 8, port: 0)
        ends[Self.client].host.move(to: [address])
        // Packets to the old address are lost.
        if !isTroubled { healedAt = world.now }
        noteClient()
    }

    // MARK: Steps

    /// One step; `choose` gives a number below its argument.
    public func step(_ choose: (Int) -> Int) {
        switch choose(24) {
        case 0, 1: wish(choose)
        case 2, 3, 4: ask(choose)
        case 5, 6: send(choose)
        case 7: endPath(choose)
        case 8: answerLater(choose)
        case 9: trouble(choose)
        case 10: heal()
        case 11: if choose(4) == 0 { move() }
        case 12: if choose(4) == 0 { ends[choose(3)].restart(tells: choose(2) == 0) } else { close(choose) }
        case 13: if choose(6) == 0 { prove() }
        case 14: if choose(4) == 0 { run(.seconds(Int64(choose(12)))) }
        default: hostile.attack(choose)
        }
        run(.milliseconds(Int64(choose(120))))
    }

    func run(_ span: TimeSpan) {
        world.run(for: UInt64(span.nanoseconds))
        hostile.tick()
        check()
    }

    /// A link that an end may want: to an honest node, to the hostile one, or to one that does not exist.
    private func wish(_ choose: (Int) -> Int) {
        let end = ends[choose(3)]
        let other = choose(4)
        switch other {
        case 0, 1: if other != end.number { end.wish(for: ids[other], at: Endpoint(ends[other].address)) }
        case 2: end.wish(for: ids[Self.nodeCount], at: Endpoint(Hostile.endpoint))
        default:
            // On behalf of a stranger, who asks for many.
            let source = LinkSource.client(AddressShare(IPAddress(v4: UInt32(1 + choose(2)))))
            for _ in 0...choose(20) {
                let seed = hostile.bytes(32)
                let key = SigningKey(seed: Secret(copying: seed.rawSpan))
                let node = NodeID(key.publicKey)
                end.wish(for: node, at: Endpoint(Hostile.void), source: source)
            }
        }
    }

    /// A link of an end, and the honest end or nil that it leads to.
    private func anyLink(_ choose: (Int) -> Int) -> (end: HonestEnd, link: LinkID, to: Int?)? {
        let end = ends[choose(3)]
        let links = end.peers.keys.sorted { $0.rawValue < $1.rawValue }
        guard !links.isEmpty else { return nil }
        let link = links[choose(links.count)]
        if case .honest(let to) = end.peers[link] { return (end, link, to) }
        return (end, link, nil)
    }

    private func ask(_ choose: (Int) -> Int) {
        guard let (end, link, to) = anyLink(choose) else { return }
        let kinds: [Message] = to == nil ? Message.allCases : [.short, .bringing, .asking]
        let kind = kinds[choose(kinds.count)]
        // A client's links must not be the largest ones at a node: short answers.
        let isShort = end.number == Self.client || to == Self.client
        let length = kind == .bringing ? choose(isShort ? 2_000 : 19_000) : choose(50)
        end.ask(
            isShort && kind == .asking ? .short : kind, length: length, to: to, on: link,
            timeout: .milliseconds(Int64(200 + choose(9_000))))
    }

    private func send(_ choose: (Int) -> Int) {
        guard let (end, link, found) = anyLink(choose), let to = found else { return }
        // From the client over one node to the other one, too.
        let isLong = end.number != to && choose(2) == 0
        let last = 3 - end.number - to
        for _ in 0...choose(12) {
            end.send(isLong ? [end.number, to, last] : [end.number, to], isClients: choose(2) == 0, on: link)
        }
    }

    private func endPath(_ choose: (Int) -> Int) {
        guard let (end, link, to) = anyLink(choose) else { return }
        for _ in 0...choose(30) { end.links.destroy(ledger.path(from: end.number, to: to ?? -1), on: link) }
    }

    private func answerLater(_ choose: (Int) -> Int) {
        let end = ends[choose(3)]
        guard !end.waiting.isEmpty else { return }
        let message = end.waiting.remove(at: choose(end.waiting.count))
        end.answer(message.responder, message.kind, message.body, isHostile: end.peers[message.link] == .hostile)
    }

    private func close(_ choose: (Int) -> Int) {
        guard choose(3) == 0, let (end, link, _) = anyLink(choose) else { return }
        end.close(link)
    }
}

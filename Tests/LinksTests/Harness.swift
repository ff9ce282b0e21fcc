import EventLoop
import Glibc
import Link
import LoopTesting
import OnionCrypto
import Testing
import Wire

@testable import Links

/// Messages of every kind of length.
enum TestMessage: UInt8, MessageFamily {
    case build = 1
    case destroy = 2
    case getSnapshot = 5
    case getDescriptors = 6
    case getDescriptor = 7
    case publish = 8
    case getSnapshotID = 26

    var longestBody: Int {
        switch self {
        case .build: 4_968
        case .destroy, .getDescriptors, .getSnapshotID: 8
        case .getSnapshot: 40
        case .getDescriptor: 32
        case .publish: 262_144
        }
    }

    var longestAnswer: Int {
        switch self {
        case .build: 456
        case .destroy, .publish: 0
        case .getSnapshot, .getDescriptors: 16 << 20
        case .getDescriptor: 65_535
        case .getSnapshotID: 112
        }
    }
}

/// One side: links on a loopback socket, and what they told.
final class Side: ControlHandler, PacketHandler {
    let links: Links
    let identity: LinkIdentity?
    /// The node's other workers.
    var workers: NodeWorkers?
    var ups: [(link: LinkID, peer: LinkPeer)] = []
    var downs: [(link: LinkID, reason: LinkDownReason)] = []
    var messages: [(message: TestMessage, body: [UInt8], responder: ControlResponder)] = []
    /// Called for each message; answers with the body turned round unless a test has another.
    var onMessage: ((Side, TestMessage, [UInt8], ControlResponder) -> Void)? = { side, _, body, responder in
        side.links.answer(responder, body.reversed())
    }
    /// Path ids and first payload bytes of data packets that were committed.
    var packets: [(pathID: UInt64, first: UInt8)] = []
    /// Where data packets are sent on to.
    var forwardTo: LinkID?
    var refusedCommits = 0

    init(_ links: Links, _ identity: LinkIdentity?) {
        self.links = links
        self.identity = identity
        links.control = self
        links.relay = self
        links.client = self
    }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        guard let message = TestMessage(rawValue: message.raw) else { return links.refuse(responder) }
        messages.append((message, body, responder))
        onMessage?(self, message, body, responder)
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) { ups.append((link, peer)) }
    func linkDown(_ link: LinkID, reason: LinkDownReason) { downs.append((link, reason)) }

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        var onward = 0..<0
        func sendOn(_ packets: inout ReceivedPackets, _ table: inout LinkTable) {
            if let forwardTo, !onward.isEmpty { table.forward(&packets, onward, on: forwardTo) }
        }
        for number in 0..<packets.count {
            let arrival = packets[number]
            let first = packets.packet(number).unsafeFirstPayloadByte
            guard table.commit(arrival) else {
                refusedCommits += 1
                continue
            }
            self.packets.append((arrival.pathID, first))
            if onward.upperBound != number {
                sendOn(&packets, &table)
                onward = number..<number
            }
            onward = onward.lowerBound..<number + 1
        }
        sendOn(&packets, &table)
    }

    var nodeID: NodeID { NodeID(identity!.nodeID) }
    var endpoint: Endpoint { Endpoint(links.localAddresses[0]) }

    /// Sends one data packet.
    func send(on link: LinkID, pathID: UInt64, first: UInt8) -> Bool {
        links.withTable { table in
            table.send(on: link) { packet in
                packet.pathID = pathID
                packet.zeroSlots(1...4)
                packet.storeBytes(of: first, toByteOffset: Packet.payloadOffset, as: UInt8.self)
                return true
            }
        }
    }
}

extension MutableRawSpan {
    var unsafeFirstPayloadByte: UInt8 { unsafe unsafeLoad(fromByteOffset: Packet.payloadOffset, as: UInt8.self) }
}

/// A loop with sides on it, all on 127.0.0.1: on simulated time, or with sockets of the kernel if not `isSimulated`.
final class Harness {
    let loop: Loop
    let network: LinkNetwork
    var sides: [Side] = []
    /// The wall clock of the sides made from now on.
    var wallClock: () -> UInt64
    /// Node ids that count as staked.
    var staked: Set<NodeID> = []
    /// How many workers the nodes made from now on have.
    var workers = 1

    init(packetSize: Int = Packet.defaultSize, isSimulated: Bool = true) throws {
        if isSimulated { workers = Self.usualWorkers }
        let loop = isSimulated ? Loop.simulated() : try Loop()
        self.loop = loop
        wallClock = { loop.wallClock }
        network = LinkNetwork(id: Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan), packetSize: packetSize)
    }

    deinit {
        for side in sides { side.links.closeAll() }
        for side in sides { side.workers?.close() }
        loop.close()
    }

    /// 1, or the number in TUNIC_TEST_WORKERS, with which all tests on simulated time can be run.
    private static let usualWorkers =
        unsafe getenv("TUNIC_TEST_WORKERS").flatMap { unsafe Int(String(cString: $0)) } ?? 1

    /// A node that counts as staked among all as `isStaked` says, and by itself as `knows` says.
    func node(
        staked isStaked: Bool = true, knows: Bool = true, _ change: (inout LinksConfiguration) -> Void = { _ in }
    ) throws -> Side {
        let identity = LinkIdentity(SigningKey())
        if isStaked { staked.insert(NodeID(identity.nodeID)) }
        return try side(identity, knows: knows, change)
    }

    func client(_ change: (inout LinksConfiguration) -> Void = { _ in }) throws -> Side { try side(nil, change) }

    private func side(
        _ identity: LinkIdentity?, knows: Bool = false, _ change: (inout LinksConfiguration) -> Void
    ) throws -> Side {
        var configuration = LinksConfiguration(
            network: network, listen: [.loopbackIPv4(port: 0)], messages: TestMessage.kinds)
        configuration.maximumLinks = 256
        change(&configuration)
        let others = try identity != nil && workers > 1 ? NodeWorkers(beside: loop, count: workers) : nil
        let links = try Links(
            on: loop, configuration: configuration, identity: identity,
            isStaked: { [unowned self] in staked.contains($0) || knows && $0.key == identity?.nodeID },
            wallClock: wallClock, others: others?.ways(packetSize: network.packetSize))
        let side = Side(links, identity)
        side.workers = others
        try others?.begin(links, relay: side)
        sides.append(side)
        return side
    }

    /// Runs the loop until `condition` holds; false when it does not within `limit`.
    @discardableResult
    func run(for limit: TimeSpan = .seconds(60), until condition: () -> Bool) -> Bool {
        loop.run(for: limit, until: condition)
    }

    /// A link from one side to another, up at both.
    func connect(_ from: Side, _ to: Side, at endpoint: Endpoint? = nil) throws -> (near: LinkID, far: LinkID) {
        var result: Result<LinkID, LinkFailure>?
        let before = to.ups.count
        from.links.link(to: to.nodeID, at: [endpoint ?? to.endpoint]) { result = $0 }
        #expect(run { result != nil && (to.ups.count > before || (try? result?.get()) == nil) })
        let near = try #require(result).get()
        return (near, try #require(to.ups.last).link)
    }
}

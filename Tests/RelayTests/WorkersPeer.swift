import EventLoop
import LinkModel
import OnionCrypto
import Testing
import Wire

@testable import Link
@testable import Links
@testable import Onion
@testable import Relay

/// A link of a ``WorkersNode``, as worker 0 and the peer have it.
final class WorkersLink {
    let peer: WorkersPeer
    let id: LinkID
    let owner: UInt8
    /// Whether the node began it, so that it also begins rekeys.
    let isOurs: Bool
    var keyring: LinkKeyring
    var stands = false
    /// Whether a rekey is under way, or the link is about to go.
    var isBusy = false
    var rekeys = 0
    /// When the next one may begin.
    var mayRekeyAt = Instant(nanoseconds: 0)
    /// The answer to the peer's rekey, until the owner has the keys.
    var answer: [UInt8]?

    init(_ peer: WorkersPeer, _ id: LinkID, owner: UInt8, isOurs: Bool, _ keyring: consuming LinkKeyring) {
        self.peer = peer
        self.id = id
        self.owner = owner
        self.isOurs = isOurs
        self.keyring = keyring
    }
}

/// A path over a ``WorkersNode``, and the packets that went over it.
final class WorkersPath {
    let handle: PathHandle
    let previous: WorkersLink
    let next: WorkersLink
    /// The ids under which the neighbours want the packets.
    let previousID: UInt64
    let nextID: UInt64
    /// The client's layers of this hop, which the previous neighbour adds and takes off.
    var client: HopLayers
    var isReady = false
    var isClosing = false
    /// How many packets were sent and have arrived, towards the exit and back.
    var sent = [0, 0]
    var arrived: [Set<UInt64>] = [[], []]

    init(
        _ handle: PathHandle, _ previous: WorkersLink, _ next: WorkersLink, ids: (UInt64, UInt64),
        _ client: consuming HopLayers
    ) {
        self.handle = handle
        self.previous = previous
        self.next = next
        (previousID, nextID) = ids
        self.client = client
    }
}

/// A neighbour on a host of its own.
final class WorkersPeer: DatagramReceiver {
    static let size = Packet.defaultSize
    /// The path id of a packet that only shows which keys the node uses.
    static let greeting: UInt64 = 1 << 40
    let loop: Loop
    private(set) var address = SocketAddress(ipv4: 0, port: 0)
    private var socket: DatagramSocket?
    /// The end of the link; nil before there is one.
    var end: LinkEnd?
    /// The paths by the ids that were told the node.
    var paths: [UInt64: WorkersPath] = [:]
    /// The receiver indices and counters of all packets, and how many came twice.
    private var counters: [UInt32: Set<UInt64>] = [:]
    private(set) var repeated = 0
    private(set) var dropped = 0
    private(set) var received = 0

    init(_ host: SimulatedHost) throws {
        loop = Loop(simulated: host)
        let socket = try DatagramSocket(on: loop, bindTo: host.addresses[0], receiver: self)
        self.socket = socket
        address = socket.localAddress
    }

    var now: Instant { Instant(nanoseconds: loop.now) }

    func close() { loop.close() }

    func received(_ batch: inout ReceivedBatch, on socket: DatagramSocket) {
        for number in 0..<batch.count {
            var packet = batch.packet(number)
            take(&packet)
        }
    }

    private func take(_ packet: inout MutableRawSpan) {
        let (index, counter) = (packet.receiverIndex, packet.linkCounter)
        received += 1
        if !counters[index, default: []].insert(counter).inserted { repeated += 1 }
        guard end?.openHeader(&packet) == .some(nil) else {
            dropped += 1
            return
        }
        if packet.pathID == Self.greeting {
            _ = end?.commit(index: index, counter: counter, now: now)
            return
        }
        guard let path = paths[packet.pathID] else {
            dropped += 1
            return
        }
        let isBack = path.previousID == packet.pathID
        if isBack {
            guard case .opened(let number) = path.client.opener.open(&packet, slot: 2, now: now) else {
                dropped += 1
                return
            }
            path.client.opener.commit(number)
        }
        guard end?.commit(index: index, counter: counter, now: now) != .duplicate else {
            repeated += 1
            return
        }
        path.arrived[isBack ? 1 : 0].insert(packet.loadLittleEndian(at: Packet.payloadOffset))
    }

    /// Sends a data packet to the node: towards the exit with the client's layer, or back.
    func send(over path: WorkersPath, isBack: Bool, pathID: UInt64, to target: SocketAddress) {
        var bytes = [UInt8](repeating: 0, count: Self.size)
        do {
            var packet = bytes.mutableRawSpan
            packet.pathID = pathID
            packet.zeroSlots(1...4)
            packet.storeLittleEndian(UInt64(path.sent[isBack ? 1 : 0]), at: Packet.payloadOffset)
            if !isBack {
                let number = path.client.sealer.seal(&packet, slot: 2, now: now)
                precondition(number != nil, "sealed")
            }
            let isSealed = end?.sealHeader(&packet) ?? false
            precondition(isSealed, "sealed")
        }
        path.sent[isBack ? 1 : 0] += 1
        socket?.send(bytes.rawSpan, to: target)
    }

    /// Sends a packet of no path, as the first one under new keys.
    func greet(_ target: SocketAddress) {
        var bytes = [UInt8](repeating: 0, count: Self.size)
        do {
            var packet = bytes.mutableRawSpan
            let isSealed = end?.sealControl(&packet) ?? false
            precondition(isSealed, "sealed")
        }
        socket?.send(bytes.rawSpan, to: target)
    }
}

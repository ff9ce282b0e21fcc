import OnionCrypto
import Wire

@testable import Onion

let testNetwork = Bytes32([UInt8](repeating: 7, count: 32))!
let testTime = UnixTime(seconds: 1_800_000_123)

/// A moment of the tests' clock.
func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64((seconds + 1_000) * 1e9)) }

/// One node of a chain.
final class ChainNode {
    let id: Bytes32
    var responder: BuildResponder
    var table = ForwardingTable(worker: 0, maximumPaths: 1_000)
    var handle: PathHandle?
    /// The records of the last BUILD that the node received.
    var seenRecords: [UInt8] = []
    let onionKey: [UInt8]

    init(_ number: UInt8) throws {
        id = Bytes32([UInt8](repeating: 100 + number, count: 32))!
        let keys = try OnionKeys(now: at(0))
        onionKey = keys.publicKey
        responder = BuildResponder(
            network: testNetwork, node: id, keys: keys, cache: BuildReplayCache(now: at(0)))
    }
}

/// The result of a build, without the path.
enum Built: Equatable {
    case path
    case refused(Int, BuildStatus)
    case broken(Int)
}

/// A client and the nodes of its path, with arrays in place of links.
///
/// The link into node k is `100 + k`, seen from both ends; the client's end is link 100.
final class Chain {
    var nodes: [ChainNode]
    var path: ClientPath?
    var guardID: UInt64 = 0
    let clientID = PathID.make(worker: 0, index: PathID.clientBit | 5, random: 0xc0ffee)
    let suite: Suite
    /// Changes the records on the way into node k, or the reply on the way out of it.
    var onRecords: (Int, inout [UInt8]) -> Void = { _, _ in }
    var onReply: (Int, inout [UInt8]) -> Void = { _, _ in }
    /// The status with which node k refuses; nil if it goes on.
    var refusal: (Int) -> BuildStatus? = { _ in nil }
    var faults: [BuildFault] = []

    init(_ count: Int, _ suite: Suite = .chacha20poly1305) throws {
        nodes = try (0..<count).map { try ChainNode(UInt8($0)) }
        self.suite = suite
    }

    var targets: [HopTarget] { nodes.map { HopTarget(node: $0.id, onionKey: $0.onionKey, suite: suite) } }

    @discardableResult
    func build(time: UnixTime = testTime, hopTime: UnixTime = testTime, now: Instant = at(0)) throws -> Built {
        let builder = try PathBuilder(hops: targets, network: testNetwork, time: time)
        var records = builder.records
        let (pathID, reply) = try answer(0, &records, from: clientID, hopTime, now)
        guard let reply else { return .broken(0) }
        guardID = pathID
        let message = BuildMessage.encode(pathID: pathID, reply)
        let result = builder.receive(message.rawSpan, now: now)
        switch consume result {
        case .built(let built, let id):
            path = consume built
            guardID = id
            return .path
        case .refused(let hop, let status): return .refused(hop, status)
        case .broken(let hop): return .broken(hop)
        }
    }

    /// Node `index` answers a BUILD; nil if it resets the stream.
    func answer(
        _ index: Int, _ records: inout [UInt8], from pathID: UInt64, _ time: UnixTime, _ now: Instant
    ) throws -> (UInt64, [UInt8]?) {
        onRecords(index, &records)
        let node = nodes[index]
        node.seenRecords = records
        let outcome = node.responder.open(records.rawSpan, from: 0, time: time, now: now)
        let previous = PathNeighbour(link: UInt32(100 + index), pathID: pathID)
        var reply: [UInt8]
        var answerID: UInt64 = 0
        switch consume outcome {
        case .unreadable(let fault):
            faults.append(fault)
            return (0, nil)
        case .refuse(let status, let sealer): reply = sealer.answer(status)
        case .terminal(let keys, let sealer, _):
            if let status = refusal(index) {
                reply = sealer.answer(status)
            } else {
                let handle = try node.table.insert(keys, previous: previous, nextLink: nil, linkLimit: 100, now: now)
                node.handle = handle
                answerID = node.table.forwardID(of: handle)!
                reply = sealer.answer(.ready)
            }
        case .onward(_, let onward, let keys, let sealer):
            if let status = refusal(index) {
                reply = sealer.answer(status)
            } else {
                let handle = try node.table.insert(
                    keys, previous: previous, nextLink: UInt32(101 + index), linkLimit: 100, now: now)
                node.handle = handle
                var next = onward
                let (nextID, answer) = try self.answer(
                    index + 1, &next, from: node.table.backwardID(of: handle)!, time, now)
                if let answer {
                    reply = sealer.wrap(answer.rawSpan)!
                    if node.table.connect(handle, nextPathID: nextID) {
                        answerID = node.table.forwardID(of: handle)!
                    } else {
                        _ = node.table.remove(handle)
                    }
                } else {
                    reply = sealer.answer(.nextHopFailed)
                }
            }
        }
        onReply(index, &reply)
        return (answerID, reply)
    }

    // MARK: Packets

    /// The number of the client's next packet.
    var nextNumber: UInt64 {
        let taken = path.take()!
        let number = taken.nextNumber
        path = consume taken
        return number
    }

    /// A packet sealed by the client, with its path id for the guard.
    func clientPacket(size: Int = Packet.minimumSize, fill: UInt8 = 0x5a, now: Instant = at(0)) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: Packet.payloadOffset)
        bytes += [UInt8](repeating: fill, count: size - Packet.payloadOffset)
        var span = bytes.mutableRawSpan
        span.pathID = guardID
        _ = path!.seal(&span, now: now)
        return bytes
    }

    /// A packet sealed by the terminal, with its path id for the node before.
    func terminalPacket(size: Int = Packet.minimumSize, fill: UInt8 = 0xa5, now: Instant = at(0)) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: Packet.payloadOffset)
        bytes += [UInt8](repeating: fill, count: size - Packet.payloadOffset)
        var span = bytes.mutableRawSpan
        let node = nodes[nodes.count - 1]
        _ = node.table.sealAtTerminal(node.handle!, &span, now: now)
        return bytes
    }

    /// Node `index` handles a packet from the client's side or from the terminal's side.
    func step(_ index: Int, _ bytes: inout [UInt8], fromClient: Bool, now: Instant = at(0)) -> ForwardingStep {
        var span = bytes.mutableRawSpan
        let node = nodes[index]
        switch node.table.find(link: UInt32(fromClient ? 100 + index : 101 + index), pathID: span.pathID) {
        case .unknown: return .drop(.unknownPath)
        case .forward(let place): return fromClient ? node.table.forward(place, &span, now: now) : .drop(.unknownPath)
        case .backward(let place): return fromClient ? .drop(.unknownPath) : node.table.backward(place, &span, now: now)
        }
    }

    /// Carries a packet forward; `on` sees it on the link into each node, until a node drops it.
    func forward(
        _ bytes: inout [UInt8], from first: Int = 0, now: Instant = at(0),
        on: (Int, inout [UInt8]) -> Void = { _, _ in }
    ) -> ForwardingStep {
        var verdict = ForwardingStep.drop(.unknownPath)
        for index in first..<nodes.count {
            on(index, &bytes)
            verdict = step(index, &bytes, fromClient: true, now: now)
            guard case .send = verdict else { return verdict }
        }
        return verdict
    }

    /// Carries a packet backward; `on` sees it on the link out of each node, and then the client opens it.
    func backward(
        _ bytes: inout [UInt8], now: Instant = at(0), on: (Int, inout [UInt8]) -> Void = { _, _ in }
    ) -> ClientOpening {
        on(nodes.count - 1, &bytes)
        for index in (0..<nodes.count - 1).reversed() {
            switch step(index, &bytes, fromClient: false, now: now) {
            case .send: on(index, &bytes)
            case .drop(let reason): return .dropped(reason)
            case .deliver: return .dropped(.unknownPath)
            }
        }
        var span = bytes.mutableRawSpan
        guard span.pathID == clientID else { return .dropped(.unknownPath) }
        return path!.open(&span, now: now)
    }
}

/// The eight bytes of slot `slot`'s counter.
func counter(_ bytes: [UInt8], _ slot: Int) -> UInt64 {
    var copy = bytes
    return copy.mutableRawSpan.hopCounter(slot)
}

func slotBytes(_ bytes: [UInt8], _ slot: Int) -> [UInt8] {
    [UInt8](bytes[Packet.slotOffset(slot)..<Packet.layerOffset(slot)])
}

internal import Link
internal import Onion
internal import OnionCrypto
internal import Wire

/// The moment of all benchmarks: nothing here waits.
let start = Instant(nanoseconds: 1_000_000_000_000)
let wallClock = UnixTime(seconds: 1_800_000_123)
let networkID = Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)

/// Ends the program: a benchmark whose packets are dropped would be quick.
func fail(_ reason: String) -> Never { fatalError("a benchmark went wrong: \(reason)") }

/// One access to `value` for all that `body` does with it: a class's property is otherwise checked at each use.
func use<Value: ~Copyable>(_ value: inout Value, _ body: (inout Value) -> Void) { body(&value) }

/// One node that answers builds and holds paths.
final class Node {
    let id: Bytes32
    let onionKey: [UInt8]
    var responder: BuildResponder
    var table: ForwardingTable

    init(_ number: UInt8, maximumPaths: Int = 1 << 21) {
        guard let keys = try? OnionKeys(now: start) else { fail("no onion key") }
        id = Bytes32(copying: [UInt8](repeating: number, count: 32).rawSpan)
        onionKey = keys.publicKey
        responder = BuildResponder(network: networkID, node: id, keys: keys, cache: BuildReplayCache(now: start))
        table = ForwardingTable(worker: 0, maximumPaths: maximumPaths)
    }
}

/// What came of a BUILD at a node.
struct Answer {
    /// The path id that the node wants packets under.
    var pathID: UInt64
    var path: PathHandle
    var records: [UInt8]
}

/// The nodes of a path of three hops.
///
/// The link into node k is number k, seen from both of its ends.
final class Chain {
    static let hops = 3

    let nodes = (0..<UInt8(Chain.hops)).map { Node($0) }
    let suite: Suite
    /// The path at the last node that was built last.
    private(set) var terminal: PathHandle?

    init(_ suite: Suite) { self.suite = suite }

    /// The client's part before the answer.
    func builder() -> PathBuilder {
        let targets = nodes.map { HopTarget(node: $0.id, onionKey: $0.onionKey, suite: suite) }
        guard let builder = try? PathBuilder(hops: targets, network: networkID, time: wallClock) else {
            fail("no build can be made")
        }
        return builder
    }

    /// Node `index` and all behind it answer a BUILD.
    func answer(_ index: Int, _ records: [UInt8], from pathID: UInt64) -> Answer {
        let node = nodes[index]
        let previous = PathNeighbour(link: UInt32(index), pathID: pathID)
        switch node.responder.open(records.rawSpan, from: 0, time: wallClock, now: start) {
        case .unreadable(let fault): fail("unreadable: \(fault)")
        case .refuse(let status, _): fail("refused: \(status)")
        case .terminal(let keys, let reply, _):
            let (path, id) = enter(node, keys, previous, next: nil)
            terminal = path
            return Answer(pathID: id, path: path, records: reply.answer(.ready))
        case .onward(_, let onward, let keys, let reply):
            let (path, id) = enter(node, keys, previous, next: UInt32(index + 1))
            let answer = answer(index + 1, onward, from: node.table.backwardID(of: path) ?? 0)
            guard node.table.connect(path, nextPathID: answer.pathID),
                let records = reply.wrap(answer.records.rawSpan)
            else { fail("no answer") }
            return Answer(pathID: id, path: path, records: records)
        }
    }

    private func enter(
        _ node: Node, _ keys: consuming HopKeys, _ previous: PathNeighbour, next: UInt32?
    ) -> (PathHandle, UInt64) {
        guard
            let path = try? node.table.insert(
                keys, previous: previous, nextLink: next, linkLimit: .max, now: start),
            let id = node.table.forwardID(of: path)
        else { fail("no room for a path") }
        return (path, id)
    }

    /// A path that stands.
    func path() -> ReadyPath {
        let builder = builder()
        let answer = answer(0, builder.records, from: 5)
        let message = BuildMessage.encode(pathID: answer.pathID, answer.records)
        guard case .built(let client, let id) = builder.receive(message.rawSpan, now: start) else { fail("no path") }
        return ReadyPath(client: client, pathID: id)
    }
}

/// The client's end of a path, and the id that its guard knows it by.
struct ReadyPath: ~Copyable {
    var client: ClientPath
    let pathID: UInt64
}

/// What packets touch of one end of a link.
struct LinkSides: ~Copyable {
    var receiver: LinkReceiver
    let sender: LinkSender

    init(_ link: consuming NewLink) {
        receiver = link.takeReceiver()
        let keyring = link.takeKeyring()
        sender = LinkSender(keyring.sendKey, sole: true)
    }
}

/// Both ends of a link between nodes that has carried its first packet.
struct LinkPair: ~Copyable {
    var near: LinkSides
    var far: LinkSides

    init(_ suite: Suite) {
        let suites = suite == .aes256gcm ? SuiteSet.aes256gcm : .chacha20poly1305
        let network = LinkNetwork(id: networkID)
        let (node, peer) = (LinkIdentity(SigningKey()), LinkIdentity(SigningKey()))
        var responder = LinkResponder(network: network, identity: node, now: start)
        guard
            var initiator = try? LinkInitiator(
                network: network, responder: node.nodeID, identity: peer, localIndex: 4_242, suites: suites,
                now: start),
            case .send(let initiation) = initiator.poll(now: start, wallClock: 1),
            case .accepted(let accepted) = responder.receive(
                initiation.rawSpan, from: Endpoint(address: IPAddress(v4: 0x0a00_0001), port: 4_000), now: start,
                wallClock: 1, isStaked: { _ in true }),
            let response = accepted.respond(localIndex: 777_777, time: wallClock, now: start)
        else { fail("no link") }
        let bytes = response.bytes
        guard case .established(let link) = initiator.receive(bytes.rawSpan, now: start) else { fail("no link") }
        near = LinkSides(link)
        far = LinkSides(response.takeLink())
    }
}

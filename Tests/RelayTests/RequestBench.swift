import Directory
import EventLoop
import Links
import LoopTesting
import Requests
import Sessions
import Testing
import Wire

@testable import Client
@testable import Relay

/// A whole network on simulated time, whose client can send the bytes of requests itself, over proxies of its choice.
final class RequestBench {
    let network: LoopNetwork
    private let turn: SessionTurn
    private var attempts: [StreamExchange] = []
    /// The hops of the newest session.
    private(set) var hops: [NodeID] = []

    init(relays count: Int = 6, network change: (inout NetworkFile) -> Void = { _ in }) throws {
        network = try LoopNetwork(relays: count, isSimulated: true, network: change)
        turn = SessionTurn(loop: network.loop)
        network.loop.addAtTurnEnd { [turn] in turn.run() }
    }

    var relays: [Relay] { network.relays }
    var client: Client { network.client }
    var pool: PathPool { client.pool }

    @discardableResult
    func run(for limit: TimeSpan = .seconds(30), until condition: () -> Bool = { false }) -> Bool {
        network.loop.run(for: limit, until: condition)
    }

    /// Whether a path belongs to a session for requests.
    func isForRequests(_ path: Path) -> Bool {
        let user = path.session
        return user is RequestSession
    }

    /// The state of a node, asked for by the client's own code; nil if the request does not end.
    func state(of relay: Relay) -> Result<NodeStateAnswer, NodeStateFailure>? {
        var result: Result<NodeStateAnswer, NodeStateFailure>?
        client.requestState(of: relay.node) { result = $0 }
        run(for: .seconds(11)) { result != nil }
        return result
    }

    // MARK: By hand

    /// A new session to `proxy`.
    func session(to proxy: Relay) throws -> RequestSession {
        var built: Result<Path, PathFailure>?
        for _ in 0..<50 where built == nil {
            if try pool.build(to: .node(proxy.node), avoiding: [], for: .lost, completion: { built = $0 }) == nil {
                run(for: .milliseconds(200))
            } else {
                run { built != nil }
            }
        }
        let path = try #require(built).get()
        hops = path.hops
        return RequestSession(turn: turn, over: ProxyPath(path: path, pool: pool)) {}
    }

    /// A sealed request for `target`, with its keys.
    func seal(
        for target: Relay, _ method: RequestMethod = .status, padding: RequestClass = .bytes1024,
        arguments: [UInt8] = []
    ) throws -> SealedRequest {
        let descriptor = try #require(client.directory.descriptor(of: target.node))
        return try RequestEnvelope.seal(
            method, to: target.node, onionKey: descriptor.onionKey, network: pool.directory.network.id,
            time: client.directory.time, padding: padding
        ) { _ in arguments }
    }

    /// Sends `bytes` on a stream; `told` gets the answer once, as the client's own code reads it.
    func send(_ bytes: [UInt8], on session: RequestSession, told: @escaping ([UInt8]?) -> Void) throws {
        attempts.append(
            try StreamExchange(
                bytes, on: session.session, longest: OuterAnswer.longestForClient, done: told))
    }

    /// Sends a request and waits for the outer answer; nil if the stream was reset.
    func ask(_ open: RequestOpen, on session: RequestSession) throws -> OuterAnswer? {
        var told: [UInt8]??
        try send(open.encoded(), on: session) { told = .some($0) }
        run { told != nil }
        guard let bytes = told ?? nil else { return nil }
        let place: OuterAnswer.Place = if case .own = open { .ownStream } else { .stream }
        return try OuterAnswer(decoding: bytes.rawSpan, at: place)
    }

    /// Asks `target` for its state over `session`.
    func ask(_ target: Relay, on session: RequestSession) throws -> OuterAnswer? {
        try ask(.envelope(try seal(for: target).envelope, to: target.node), on: session)
    }

    func close() { network.close() }
}

/// A handler between a relay's links and the relay, which can withhold or change control messages.
final class Meddler: ControlHandler {
    /// The treatment of FORWARD messages.
    enum Manner {
        case honest
        /// They are never answered.
        case silent
        /// They are answered with these bytes.
        case lies([UInt8])
    }

    private let relay: Relay
    private let inner: any ControlHandler
    var manner = Manner.honest
    /// Whether builds are never answered.
    var holdsBuilds = false
    private(set) var forwards: [(body: [UInt8], from: NodeID, responder: ControlResponder)] = []

    init(_ relay: Relay) throws {
        self.relay = relay
        inner = try #require(relay.links.control)
        relay.links.control = self
    }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        if holdsBuilds, message == PathMessage.build.kind { return }
        guard message == RequestMessage.forward.kind, let peer = relay.links.peer(of: link)?.node else {
            return inner.received(message, body: body, from: link, responder: responder)
        }
        forwards.append((body, peer, responder))
        switch manner {
        case .honest: inner.received(message, body: body, from: link, responder: responder)
        case .silent: break
        case .lies(let bytes): relay.links.answer(responder, bytes)
        }
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) { inner.linkUp(link, peer: peer) }
    func linkDown(_ link: LinkID, reason: LinkDownReason) { inner.linkDown(link, reason: reason) }
}

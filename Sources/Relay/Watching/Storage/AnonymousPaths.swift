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

/// The paths of the anonymous client by which a node tests others' storage, over links without an identity from its own
/// ports.
///
/// The node that is asked is in no path to its proxy, and this node is in none.
final class AnonymousPaths: RequestPaths, PacketHandler, ControlHandler {
    /// The number of path indices among which a client draws.
    private static let indices: UInt32 = 512

    private let links: Links
    private let nodes: KnownNodes
    private let choice: TestChoice
    private let maker: PathMaker
    private let packetSize: Int
    /// The built paths by their ids.
    private var paths: [UInt64: AnonymousPath] = [:]

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
        packetSize = network.packetSize
        maker = PathMaker(links: links, network: network.id, clock: { [links] in links.ownTime })
        links.client = self
        links.control = self
    }

    var time: UnixTime { links.ownTime }
    var proxies: [RequestNode] { choice.proxies }

    func reach(for target: NodeID) -> ((NodeID) -> Bool)? { { $0 != target } }

    func onionKey(of node: NodeID, in bytes: [UInt8]) -> [UInt8]? { nodes.onionKey(of: node, in: bytes) }

    /// A node as the target of a request; nil if its descriptor is not known.
    func target(_ node: NodeID) -> RequestClient.Target? {
        nodes.descriptor(of: node).map { .init(node: node, onionKey: $0.descriptor.onionKey) }
    }

    /// Ends all links; the paths must have ended.
    func close(completion: @escaping () -> Void) { links.closeAll(completion: completion) }

    // MARK: Building

    func build(
        to proxy: NodeID, for target: NodeID, isWanted: @escaping () -> Bool,
        completion: @escaping ((any RequestPath)?) -> Void
    ) {
        let drawn = choice.requestPath(to: proxy, avoiding: target) ?? []
        let hops = drawn.compactMap(choice.hop)
        // A hop without a descriptor must not make the path shorter.
        guard let first = hops.first, hops.count == drawn.count else { return completion(nil) }
        let pathID = maker.pathID(at: SecureRandom.u32() % Self.indices)
        maker.build(
            hops.map(\.target), at: first.addresses, as: pathID, limits: (TestPath.linkLimit, TestPath.buildLimit),
            isWanted: isWanted, linked: { _ in },
            completion: { [weak self] in completion(self?.path($0, as: pathID, over: drawn)) })
    }

    private func path(_ outcome: consuming PathOutcome, as pathID: UInt64, over hops: [NodeID]) -> AnonymousPath? {
        guard case .built(let built) = consume outcome else { return nil }
        let path = AnonymousPath(
            consume built, hops: hops, payloadSize: packetSize - Packet.payloadOffset, links: links
        ) { [weak self] in self?.paths[pathID] = nil }
        paths[pathID] = path
        return path
    }

    // MARK: Links

    private func path(_ pathID: UInt64, on link: LinkID) -> AnonymousPath? {
        paths[pathID].flatMap { $0.link == link ? $0 : nil }
    }

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        for index in 0..<packets.count {
            let arrival = packets[index]
            guard let path = path(arrival.pathID, on: arrival.link) else { continue }
            var packet = packets.packet(index)
            path.received(&packet) { table.commit(arrival) }
        }
    }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        guard message == PathMessage.destroy.kind else { return links.refuse(responder) }
        if let message = DestroyMessage(body) { path(message.pathID, on: link)?.lost() }
        links.answer(responder, [])
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {}

    func linkDown(_ link: LinkID, reason: LinkDownReason) {
        for path in paths.values where path.link == link { path.lost() }
    }
}

/// A path of the anonymous client, for the requests of one storage test.
private final class AnonymousPath: RequestPath {
    let hops: [NodeID]
    let buildTime: TimeSpan?
    let payloadSize: Int
    let link: LinkID
    private let links: Links
    private var built: BuiltPath?
    private weak var session: RequestSession?
    /// Called once, when the path ends.
    private let forget: () -> Void

    init(
        _ built: consuming BuiltPath, hops: [NodeID], payloadSize: Int, links: Links, forget: @escaping () -> Void
    ) {
        self.hops = hops
        self.payloadSize = payloadSize
        self.links = links
        self.forget = forget
        link = built.link
        buildTime = built.buildTime
        self.built = consume built
    }

    func carry(_ session: RequestSession) { self.session = session }

    /// Takes a packet that came back, if its layers verify and `commit` agrees.
    func received(_ packet: inout MutableRawSpan, commit: () -> Bool) {
        let now = links.now
        guard case .packet(let number) = built?.layers.open(&packet, now: now), commit() else { return }
        session?.received(packet.bytes.extracting(droppingFirst: Packet.payloadOffset), number: number, now: now)
    }

    func transmit(_ session: Session, on leg: LegID, now: Instant) {
        _ = built?.transmit(session, on: leg, over: links, now: now)
    }

    func end(isByProxy: Bool) { end(tellsGuard: true) }

    /// The path has ended, or its link.
    func lost() {
        end(tellsGuard: false)
        session?.pathEnded()
    }

    private func end(tellsGuard: Bool) {
        guard let path = built.take() else { return }
        path.end(on: links, tellsGuard: tellsGuard)
        forget()
    }
}

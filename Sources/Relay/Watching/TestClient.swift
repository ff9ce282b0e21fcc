internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Paths
internal import Watch
internal import Wire

/// The client that a node uses to test others, with links without an identity from its own ports.
final class TestClient: PacketHandler, ControlHandler {
    /// The number of path indices among which a client draws.
    private static let indices: UInt32 = 512

    private let links: Links
    private let network: NetworkFile
    private var tests: [UInt64: TestPath] = [:]
    private let maker: PathMaker

    init(on loop: Loop, network: NetworkFile) throws {
        self.network = network
        var setup = LinksConfiguration(
            network: LinkNetwork(id: network.id, packetSize: network.packetSize),
            listen: [.anyIPv4(port: 0), .anyIPv6(port: 0)], messages: [PathMessage.destroy.kind])
        setup.mayLackFamily = true
        setup.maximumLinks = 256
        links = try Links(on: loop, configuration: setup, identity: nil)
        // The machine's own clock is used. A client's clock would follow the nodes that were tested last, whose
        // operators are not known here.
        maker = PathMaker(links: links, network: network.id, clock: { [links] in links.ownTime })
        links.client = self
        links.control = self
    }

    /// Whether this machine has a route to one of the addresses.
    func reaches(_ addresses: [Endpoint]) -> Bool { addresses.contains { links.reaches($0) } }

    /// The families in which this machine has a route to the Internet or to one of the addresses; both if there is
    /// none.
    func families(_ addresses: [Endpoint]) -> (hasIPv4: Bool, hasIPv6: Bool) {
        let reached = { (isIPv4: Bool) in
            let known = [Endpoint(isIPv4 ? .globalIPv4 : .globalIPv6)] + addresses
            return known.contains { ($0.address.v4 != nil) == isIPv4 && self.links.reaches($0) }
        }
        let (four, six) = (reached(true), reached(false))
        return (four || !six, six || !four)
    }

    /// Tests the hop at `place` of a path over `hops`, over a new link unless another test uses the present one.
    func test(
        _ hops: [TestHop], place: Int, wantsCapacity: Bool, completion: @escaping (TestOutcome, TimeSpan) -> Void
    ) {
        let pathID = maker.pathID(at: SecureRandom.u32() % Self.indices)
        let first = NodeID(hops[0].target.node)
        // A link from an earlier test does not show whether a new one could be made.
        if let link = links.existingLink(to: first), !tests.values.contains(where: { $0.link == link }) {
            links.close(link)
        }
        let test = TestPath(
            maker: maker, packetSize: network.packetSize, hops: hops, place: place, wantsCapacity: wantsCapacity,
            pathID: pathID
        ) { [weak self] outcome, duration in
            self?.tests[pathID] = nil
            completion(outcome, duration)
        }
        tests[pathID] = test
        test.start()
    }

    /// Makes a new link to `node` at this address only, and tells whether it came up in time; nil if a test uses the
    /// present link.
    func reach(_ node: NodeID, at address: Endpoint, completion: @escaping (Bool?) -> Void) {
        guard !isTested(node) else { return completion(nil) }
        if let link = links.existingLink(to: node) { links.close(link) }
        links.link(to: node, at: [address], limit: TestPath.linkLimit) { [weak self] link in
            if let self, let link, !isTested(node) { links.close(link) }
            completion(link != nil)
        }
    }

    /// Whether a test whose first hop is `node` is under way.
    private func isTested(_ node: NodeID) -> Bool { tests.values.contains { $0.first == node } }

    /// Ends all tests and links.
    func close(completion: @escaping () -> Void) {
        for test in tests.values { test.cancel() }
        tests = [:]
        links.closeAll(completion: completion)
    }

    // MARK: Links

    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        for index in 0..<packets.count {
            let arrival = packets[index]
            guard let test = tests[arrival.pathID], test.link == arrival.link else { continue }
            var packet = packets.packet(index)
            if test.received(&packet) { _ = table.commit(arrival) }
        }
    }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        guard message == PathMessage.destroy.kind else { return links.refuse(responder) }
        if let message = DestroyMessage(body), let test = tests[message.pathID], test.link == link { test.lost() }
        links.answer(responder, [])
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {}

    func linkDown(_ link: LinkID, reason: LinkDownReason) {
        for test in tests.values where test.link == link { test.lost() }
    }
}

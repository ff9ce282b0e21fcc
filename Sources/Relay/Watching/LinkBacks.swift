internal import Directory
internal import Links
internal import Wire

/// Answers nodes that ask whether they can be reached, by making new links to them.
final class LinkBacks {
    /// The most nodes that are answered within `pause`, and the time in which one node is answered only once.
    private static let limit = 64
    private static let pause = TimeSpan.seconds(10)

    private let links: Links
    private let nodes: KnownNodes
    private let client: TestClient
    /// The time of the last question of each node within `pause`.
    private var asked: [NodeID: Instant] = [:]

    /// Makes the links from `client`.
    init(links: Links, nodes: KnownNodes, client: TestClient) {
        self.links = links
        self.nodes = nodes
        self.client = client
    }

    /// Answers with one byte for each address of the node's descriptor: 0 not reached, 1 reached, 2 unknown.
    ///
    /// Nil refuses.
    func answer(_ peer: NodeID, _ answer: @escaping ([UInt8]?) -> Void) {
        let now = links.now
        asked = asked.filter { now - $0.value < Self.pause }
        guard asked[peer] == nil, asked.count < Self.limit,
            let addresses = nodes.descriptor(of: peer)?.descriptor.addresses
        else { return answer(nil) }
        asked[peer] = now
        reach(peer, addresses, [], answer)
    }

    private func reach(
        _ peer: NodeID, _ addresses: [Endpoint], _ results: [UInt8], _ answer: @escaping ([UInt8]?) -> Void
    ) {
        guard results.count < addresses.count else { return answer(results) }
        let address = addresses[results.count]
        // 2: this node has no route to the address, or is testing the other node.
        guard client.reaches([address]) else { return reach(peer, addresses, results + [2], answer) }
        client.reach(peer, at: address) { [weak self] isReached in
            self?.reach(peer, addresses, results + [isReached.map { $0 ? 1 : 0 } ?? 2], answer)
        }
    }
}

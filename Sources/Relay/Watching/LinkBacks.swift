internal import Directory
internal import Links
internal import Wire

/// The nodes that were recently answered when they asked whether they can be reached, by operator.
///
/// An answer cannot be taken back. Therefore the fewer places are free, the fewer an operator may have: a quarter of
/// the free places, but at least one while any is free.
struct LinkBackPlaces {
    /// The most nodes that are answered within `pause`; one node is answered once within it.
    static let limit = 64
    static let pause = TimeSpan.seconds(10)

    private var asked: [NodeID: (at: Instant, owner: Bytes32)] = [:]

    /// Takes a place for a node of the operator `owner`; false if there is none for it.
    mutating func take(_ node: NodeID, of owner: Bytes32, now: Instant) -> Bool {
        asked = asked.filter { now - $0.value.at < Self.pause }
        let own = asked.values.count { $0.owner == owner }
        guard asked[node] == nil, asked.count < Self.limit, own < max(1, (Self.limit - asked.count) / 4) else {
            return false
        }
        asked[node] = (now, owner)
        return true
    }
}

/// Answers nodes that ask whether they can be reached, by making new links to them.
final class LinkBacks {
    private let links: Links
    private let nodes: KnownNodes
    private let client: TestClient
    private var places = LinkBackPlaces()

    /// Makes the links from `client`.
    init(links: Links, nodes: KnownNodes, client: TestClient) {
        self.links = links
        self.nodes = nodes
        self.client = client
    }

    /// Answers with one byte for each address of the node's descriptor: 0 not reached, 1 reached, 2 unknown; nil
    /// refuses.
    ///
    /// Links are made only to the address `source` of the link over which the node asks. Otherwise a node could aim the
    /// handshakes of all others at a stranger, whose address it writes into its descriptor.
    func answer(_ peer: NodeID, at source: IPAddress, _ answer: @escaping ([UInt8]?) -> Void) {
        guard let addresses = nodes.descriptor(of: peer)?.descriptor.addresses,
            places.take(peer, of: nodes.snapshot.entry(of: peer)?.operatorID ?? peer.key, now: links.now)
        else { return answer(nil) }
        reach(peer, addresses, from: source, [], answer)
    }

    private func reach(
        _ peer: NodeID, _ addresses: [Endpoint], from source: IPAddress, _ results: [UInt8],
        _ answer: @escaping ([UInt8]?) -> Void
    ) {
        guard results.count < addresses.count else { return answer(results) }
        let address = addresses[results.count]
        // 2: the node asks from another address, this node has no route to this one, or it is testing the other node.
        guard address.address == source, client.reaches([address]) else {
            return reach(peer, addresses, from: source, results + [2], answer)
        }
        client.reach(peer, at: address) { [weak self] isReached in
            self?.reach(peer, addresses, from: source, results + [isReached.map { $0 ? 1 : 0 } ?? 2], answer)
        }
    }
}

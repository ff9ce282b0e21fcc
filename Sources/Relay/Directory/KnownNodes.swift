internal import Directory
internal import Links
internal import OnionCrypto
internal import Store
internal import Wire

/// Learns of each snapshot that becomes the trusted one.
protocol SnapshotFollower: AnyObject {
    /// Continues with a newer trusted snapshot, which has this digest.
    func follow(_ snapshot: Snapshot, digest: Bytes32)
}

/// The nodes of the trusted snapshot, which decide which peers may link as nodes.
final class StakedNodes: SnapshotFollower {
    private(set) var snapshot: Snapshot

    /// The nodes of `snapshot`, until there is a newer one.
    init(_ snapshot: Snapshot) { self.snapshot = snapshot }

    /// Whether `node` is staked or suspended.
    ///
    /// A suspended node must be tested to come back.
    func contains(_ node: NodeID) -> Bool { snapshot.isListed(node) }

    func follow(_ snapshot: Snapshot, digest: Bytes32) { self.snapshot = snapshot }
}

/// The endpoints of the nodes with a descriptor, and of the bootstrap nodes that the snapshot lists.
final class NodeEndpoints: NodeAddresses {
    private var endpoints: Set<Endpoint> = []
    private var addresses: Set<IPAddress> = []

    func contains(_ endpoint: Endpoint) -> Bool { endpoints.contains(endpoint) }
    func contains(_ address: IPAddress) -> Bool { addresses.contains(address) }

    /// Puts `endpoints` in the place of the former ones.
    func replace(by endpoints: Set<Endpoint>) {
        self.endpoints = endpoints
        addresses = Set(endpoints.map(\.address))
    }
}

/// The nodes of the trusted snapshot, with their descriptors and addresses.
final class KnownNodes: SnapshotFollower {
    private let links: Links
    private let network: NetworkFile
    private(set) var snapshot: Snapshot
    var descriptors: DescriptorStore
    private let endpoints: NodeEndpoints
    private var endpointsGeneration: UInt64?

    /// The nodes of `snapshot`, with the descriptors that `store` holds; keeps `endpoints` up to date.
    init(links: Links, network: NetworkFile, snapshot: Snapshot, endpoints: NodeEndpoints, store: Store?) throws {
        self.endpoints = endpoints
        self.links = links
        self.network = network
        self.snapshot = snapshot
        descriptors = DescriptorStore(network, snapshot: snapshot, kept: try store?.descriptors() ?? [], at: links.time)
        noteEndpoints()
    }

    /// Updates the set of endpoints if descriptors have changed.
    ///
    /// To be called every second.
    func noteEndpoints() {
        guard endpointsGeneration != descriptors.generation else { return }
        endpointsGeneration = descriptors.generation
        var known = Set(descriptors.all.flatMap(\.descriptor.addresses))
        for other in network.bootstrap where isListed(other.node) { known.formUnion(other.addresses) }
        endpoints.replace(by: known)
    }

    func follow(_ snapshot: Snapshot, digest: Bytes32) {
        self.snapshot = snapshot
        descriptors.follow(snapshot)
    }

    /// Whether the snapshot has the node, as staked or suspended.
    func isListed(_ node: NodeID) -> Bool { snapshot.isListed(node) }

    /// The valid descriptor of a node; nil if there is none.
    func descriptor(of node: NodeID) -> SignedDescriptor? { descriptors.descriptor(of: node, at: links.time) }

    /// The onion key of a newer descriptor that a node sent; that of the known one if it is as new, nil if neither counts.
    func onionKey(of node: NodeID, in bytes: [UInt8]) -> [UInt8]? {
        guard let candidate = try? SignedDescriptor(decoding: bytes.rawSpan), candidate.descriptor.node == node
        else { return nil }
        let held = descriptor(of: node)?.descriptor
        if let held, held.published >= candidate.descriptor.published { return held.onionKey }
        guard (try? descriptors.isNews(candidate, at: links.time)) == true, candidate.isAuthentic(network: network.id)
        else { return nil }
        return candidate.descriptor.onionKey
    }

    /// The addresses of a node; nil if the node is not listed, or neither its descriptor nor an address of it is known.
    func addresses(of node: NodeID) -> [Endpoint]? {
        guard isListed(node) else { return nil }
        if let descriptor = descriptor(of: node) { return descriptor.descriptor.addresses }
        return network.bootstrap.first { $0.node == node }?.addresses
    }

    /// All nodes of which an address may be known, this one included.
    var reachable: [NodeID] {
        Array(descriptors.all.lazy.map(\.descriptor.node)) + network.bootstrap.map(\.node)
    }
}

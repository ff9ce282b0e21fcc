internal import Directory
internal import Links
internal import OnionCrypto
internal import Store
internal import Wire

/// Hears of each snapshot that becomes the trusted one.
protocol SnapshotFollower: AnyObject {
    /// Goes on under a newer trusted snapshot with this digest.
    func follow(_ snapshot: Snapshot, digest: Bytes32)
}

/// The nodes of the snapshot that is trusted now, for whoever decides who may link as a node.
final class StakedNodes: SnapshotFollower {
    private(set) var snapshot: Snapshot

    /// The nodes of `snapshot`, until there is a newer one.
    init(_ snapshot: Snapshot) { self.snapshot = snapshot }

    /// Whether `node` is staked, or suspended: it must be tested to come back.
    func contains(_ node: NodeID) -> Bool { snapshot.isListed(node) }

    func follow(_ snapshot: Snapshot, digest: Bytes32) { self.snapshot = snapshot }
}

/// The nodes that the trusted snapshot lists, their descriptors, and where they can be reached.
final class KnownNodes: SnapshotFollower {
    private let links: Links
    private let network: NetworkFile
    private(set) var snapshot: Snapshot
    var descriptors: DescriptorStore
    /// Where the nodes are whose descriptors are held, and those of the bootstrap list.
    private(set) var endpoints: Set<Endpoint> = []
    /// Their addresses.
    private(set) var addresses: Set<IPAddress> = []
    private var endpointsGeneration: UInt64?

    /// The nodes of `snapshot`, with the descriptors that `store` has kept.
    init(links: Links, network: NetworkFile, snapshot: Snapshot, store: Store?) throws {
        self.links = links
        self.network = network
        self.snapshot = snapshot
        descriptors = DescriptorStore(network, snapshot: snapshot, kept: try store?.descriptors() ?? [], at: links.time)
        noteEndpoints()
    }

    /// Keeps the set of endpoints that descriptors name as they are now; to be called every second.
    func noteEndpoints() {
        guard endpointsGeneration != descriptors.generation else { return }
        endpointsGeneration = descriptors.generation
        endpoints = Set(descriptors.all.flatMap(\.descriptor.addresses))
        for other in network.bootstrap where isListed(other.node) { endpoints.formUnion(other.addresses) }
        addresses = Set(endpoints.map(\.address))
    }

    func follow(_ snapshot: Snapshot, digest: Bytes32) {
        self.snapshot = snapshot
        descriptors.follow(snapshot)
    }

    /// Whether the snapshot has the node, staked or suspended.
    func isListed(_ node: NodeID) -> Bool { snapshot.isListed(node) }

    /// The descriptor of a node that holds now.
    func descriptor(of node: NodeID) -> SignedDescriptor? { descriptors.descriptor(of: node, at: links.time) }

    /// Where a node can be reached; nil for one that is not listed, or of which neither descriptor nor address is known.
    func addresses(of node: NodeID) -> [Endpoint]? {
        guard isListed(node) else { return nil }
        if let descriptor = descriptor(of: node) { return descriptor.descriptor.addresses }
        return network.bootstrap.first { $0.node == node }?.addresses
    }

    /// All nodes of which an address may be known.
    var reachable: [NodeID] {
        Array(descriptors.all.lazy.map(\.descriptor.node)) + network.bootstrap.map(\.node)
    }
}

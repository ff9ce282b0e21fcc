internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Logging
internal import OnionCrypto
internal import Store
internal import Wire

/// A relay's knowledge of the network, which it also serves to others: snapshots, descriptors and lists of them.
final class RelayDirectory {
    let neighbours: Neighbours
    let gossip: Gossip
    let answers: DescriptorAnswers
    let keeper: DescriptorKeeper
    let epochs: Epochs
    let lists: Lists
    private let registryFile: RegistryFile?

    /// Continues from the snapshots of `signing`.
    ///
    /// The stakes come from `registry`. Without one they come from the registry in `file`, from `ledger`, or from the
    /// network file, in this order. `staked` and `followers` follow the trusted snapshot.
    init(
        _ signing: SnapshotSigning, links: Links, neighbours: Neighbours, network: NetworkFile,
        identity: LinkIdentity, registry: (any RegistrySource)?, file: String?, ledger: (any RegistrySource)?,
        staked: StakedNodes, followers: [any SnapshotFollower], store: Store?, log: Logger
    ) throws {
        self.neighbours = neighbours
        let nodes = neighbours.nodes
        gossip = Gossip(links: links, network: network, node: NodeID(identity.nodeID), neighbours: neighbours)
        answers = DescriptorAnswers(links: links, nodes: nodes)
        keeper = try DescriptorKeeper(links: links, nodes: nodes, store: store)
        lists = try Lists(
            links: links, neighbours: neighbours, network: network, identity: identity, gossip: gossip,
            snapshot: signing.snapshot, digest: signing.chain.digest, store: store, log: log)
        let registryFile = file.map { RegistryFile(network, path: $0, loop: links.loop) { links.time } }
        self.registryFile = registryFile
        let source: (any RegistrySource)? = registry ?? registryFile
        epochs = Epochs(
            signing, links: links, neighbours: neighbours, network: network, identity: identity,
            registry: source ?? ledger ?? NetworkFileRegistry(network),
            followers: [staked, nodes, gossip, lists] + followers, store: store, log: log)
    }

    var nodes: KnownNodes { neighbours.nodes }

    /// Does the periodic work of the parts: questions, announcements, signatures and writes.
    ///
    /// To be called every second.
    func tick() {
        gossip.tick()
        keeper.tick()
        nodes.noteEndpoints()
        epochs.tick()
        lists.tick()
    }

    /// Writes the descriptors that are not in the store yet, and closes the parts.
    func close() {
        keeper.saveAll()
        epochs.close()
        lists.close()
        registryFile?.close()
    }
}

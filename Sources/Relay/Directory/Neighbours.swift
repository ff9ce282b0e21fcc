internal import Directory
internal import EventLoop
internal import Links
internal import OnionCrypto
internal import Wire

/// The other nodes to which links are up; makes links to more of them.
final class Neighbours {
    private let links: Links
    private let node: NodeID
    /// The known nodes and their addresses.
    let nodes: KnownNodes
    /// The links that are up, by node.
    private(set) var up: [NodeID: LinkID] = [:]
    private var contacting: Set<NodeID> = []
    private var retries: [NodeID: (at: Instant, failures: Int)] = [:]

    /// The neighbours of `node` among `nodes`; none at first.
    init(links: Links, node: NodeID, nodes: KnownNodes) {
        self.links = links
        self.node = node
        self.nodes = nodes
    }

    /// To be called when a link to a node is up.
    func linkUp(_ link: LinkID, _ peer: NodeID) {
        up[peer] = link
        retries[peer] = nil
    }

    /// To be called when a link has ended.
    ///
    /// If another link to the same node is up, it takes this one's place.
    func linkDown(_ link: LinkID, _ peer: NodeID) {
        if up[peer] == link { up[peer] = links.existingLink(to: peer) }
    }

    /// Whether `links` lead to nodes of most operators whose nodes are linked, and of two at least (of all others, in a
    /// smaller network).
    ///
    /// What neighbours say is not signed. So one operator alone is not believed, however many links its nodes have. Of a
    /// node that is not staked, the operator is not known.
    func areMost(_ links: Set<LinkID>) -> Bool {
        guard !links.isEmpty else { return false }
        let staked = nodes.snapshot.entries.filter { $0.isStaked && $0.node != node }
        func operators(_ includes: (LinkID?) -> Bool) -> Int {
            Set(staked.filter { includes(up[$0.node]) }.map(\.operatorID)).count
        }
        let (all, linked) = (operators { _ in true }, operators { $0 != nil })
        let count = operators { $0.map(links.contains) ?? false }
        return count >= max(1, min(2, all)) && count * 2 > linked
    }

    /// The number of nodes to which links are being made.
    var contactCount: Int { contacting.count }

    /// Whether a link to a node may be begun: none is being made, and the pause after its last failure is over.
    func mayContact(_ peer: NodeID) -> Bool {
        !contacting.contains(peer) && (retries[peer]?.at ?? links.now) <= links.now
    }

    /// Makes a link to a node.
    ///
    /// `then` is called if the link comes up.
    ///
    /// Returns false if no address of the node is known.
    @discardableResult
    func contact(_ peer: NodeID, then: @escaping (LinkID) -> Void = { _ in }) -> Bool {
        guard let addresses = nodes.addresses(of: peer) else { return false }
        contacting.insert(peer)
        links.link(to: peer, at: addresses) { [weak self] result in
            guard let self else { return }
            contacting.remove(peer)
            if case .success(let link) = result {
                then(link)
            } else {
                let failures = (retries[peer]?.failures ?? 0) + 1
                retries[peer] = (links.now + .seconds(Int64(min(60, 1 << min(failures, 6)))), failures)
            }
        }
        return true
    }

    /// Makes a link to one more node, chosen at random among those whose address is known.
    func connectToMore() {
        guard contacting.count < 2 else { return }
        let others = nodes.reachable.filter { $0 != node && up[$0] == nil && mayContact($0) }
        if let peer = SecureRandom.element(of: others) { contact(peer) }
    }

    /// Ends the pauses after failures, so that all nodes may be tried at once.
    func forgetFailures() { retries.removeAll() }
}

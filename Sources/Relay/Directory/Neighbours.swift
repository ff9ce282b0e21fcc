internal import Directory
internal import EventLoop
internal import Links
internal import OnionCrypto
internal import Wire

/// The other nodes to which links are up, and the making of links to more of them.
final class Neighbours {
    private let links: Links
    private let node: NodeID
    /// Which nodes there are, and where.
    let nodes: KnownNodes
    /// The links that are up, by node.
    private(set) var up: [NodeID: LinkID] = [:]
    private var contacting: Set<NodeID> = []
    private var retries: [NodeID: (at: Instant, failures: Int)] = [:]

    /// The neighbours of `node` among `nodes`; none yet.
    init(links: Links, node: NodeID, nodes: KnownNodes) {
        self.links = links
        self.node = node
        self.nodes = nodes
    }

    /// A link to a node stands.
    func linkUp(_ link: LinkID, _ peer: NodeID) {
        up[peer] = link
        retries[peer] = nil
    }

    /// A link is gone; another to the same node may stand by.
    func linkDown(_ link: LinkID, _ peer: NodeID) {
        if up[peer] == link { up[peer] = links.existingLink(to: peer) }
    }

    /// To how many nodes links are being made.
    var contactCount: Int { contacting.count }

    /// Whether a link to a node may be begun: none is being made, and the last failure is long enough ago.
    func mayContact(_ peer: NodeID) -> Bool {
        !contacting.contains(peer) && (retries[peer]?.at ?? links.now) <= links.now
    }

    /// Makes a link to a node; `then` gets it if it comes up.
    ///
    /// False when no address is known.
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

    /// Makes a link to one more node, any whose address is known.
    func seek() {
        guard contacting.count < 2 else { return }
        let others = nodes.reachable.filter { $0 != node && up[$0] == nil && mayContact($0) }
        if let peer = SecureRandom.element(of: others) { contact(peer) }
    }

    /// Tries nodes again at once that could not be reached before.
    func forgetFailures() { retries.removeAll() }
}

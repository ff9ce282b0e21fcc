internal import Directory
internal import Links
internal import Onion
internal import OnionCrypto
internal import Requests
internal import Watch
internal import Wire

/// Chooses the paths of tests as a client would choose its paths.
final class TestChoice {
    private let links: Links
    private let network: NetworkFile
    private let node: NodeID
    private let nodes: KnownNodes
    private let client: TestClient
    /// How long a choice is used although descriptors have changed.
    private let interval: TimeSpan
    /// The health of nodes as a client would know it from tests like these.
    var health = NodeHealth()
    /// The operators of the exits at which tests can end.
    private(set) var exitOperators: Set<Bytes32> = []
    private var selector:
        (value: PathSelector, exit: TerminalRequirement, height: UInt64, generation: UInt64, made: Instant)?
    /// The staked nodes that can be proxies of requests.
    private var requestNodes: [RequestNode] = []
    private var random = SecureRandom()

    /// The choice of `node`, which is not in the paths of its own tests.
    init(
        links: Links, network: NetworkFile, node: NodeID, nodes: KnownNodes, client: TestClient, interval: TimeSpan
    ) {
        self.links = links
        self.network = network
        self.node = node
        self.nodes = nodes
        self.client = client
        self.interval = interval
    }

    /// A path that contains `tested`, as a middle if `hides` returns true, else as the first hop; nil if there is none.
    ///
    /// If `hides` returns nil, the place is random. A node to which this machine has no route is always a middle.
    func path(
        testing tested: NodeID, at addresses: [Endpoint], hides: () -> Bool?
    ) -> (place: TestPlace, nodes: [NodeID])? {
        let (selector, exit) = current()
        guard client.reaches(addresses) else {
            return over(tested, at: addresses, selector, exit).map { (.middle, $0) }
        }
        var place = TestPlace.first(mayHide: false)
        if nodes.snapshot.isStaked(tested),
            let hidden = selector.selectTest(
                of: tested, asMiddle: true, terminal: exit, health: health, at: links.time, using: &random)
        {
            if hides() ?? Bool.random(using: &random) { return (.middle, hidden) }
            place = .first(mayHide: true)
        }
        return plain(to: tested, selector, exit).map { (place, $0) }
    }

    /// A path over `tested`, to which this machine has no route; without one to an exit it ends at any node.
    private func over(
        _ tested: NodeID, at addresses: [Endpoint], _ selector: PathSelector, _ exit: TerminalRequirement
    ) -> [NodeID]? {
        for terminal in [exit, .any] {
            let path = selector.selectTest(
                over: tested, at: addresses, terminal: terminal, health: health, at: links.time, using: &random)
            if let path { return path }
        }
        return nil
    }

    /// The numbers of nodes and of last hops' operators that can stand beside `tested`, to which this machine has no
    /// route.
    func neighbours(of tested: NodeID) -> (nodes: Int, operators: Int) {
        let (selector, exit) = current()
        let found = selector.neighbours(of: tested, terminal: exit)
        return found.nodes > 0 ? found : selector.neighbours(of: tested, terminal: .any)
    }

    /// A path with `tested` as its first hop.
    ///
    /// If no path leads to an exit, it ends at any node, because the first hop sees only the next one.
    private func plain(to tested: NodeID, _ selector: PathSelector, _ exit: TerminalRequirement) -> [NodeID]? {
        for (count, terminal) in [(3, exit), (3, .any), (2, .any)] {
            let path = selector.selectTest(
                of: tested, asMiddle: false, hops: count, terminal: terminal, health: health, at: links.time,
                using: &random)
            if let path { return path }
        }
        return nil
    }

    /// The selector and the terminal that a client would use now.
    ///
    /// They are made again when the snapshot changes, at most once per ``interval`` when descriptors change, and after
    /// an hour.
    private func current() -> (PathSelector, TerminalRequirement) {
        let generation = nodes.descriptors.generation
        let now = links.now
        if let selector, selector.height == nodes.snapshot.height,
            now - selector.made < interval
                || selector.generation == generation && now - selector.made < .seconds(3_600)
        {
            return (selector.value, selector.exit)
        }
        var rules = PathSelector.Rules(network)
        rules.own = [node]
        (rules.hasIPv4, rules.hasIPv6) = client.families(network.bootstrap.flatMap(\.addresses))
        let value = PathSelector(
            snapshot: nodes.snapshot, descriptors: nodes.descriptors.all, rules: rules, at: links.time)
        let wanted = TerminalRequirement.exit([.tcp, .ipv4])
        let exit = value.count(for: wanted) > 0 ? wanted : .exit(.tcp)
        selector = (value, exit, nodes.snapshot.height, generation, now)
        let staked = nodes.snapshot.entries.filter { $0.isStaked && $0.node != node && value.knows($0.node) }
        let weights = Coverage.weights(of: staked, operatorSharePercent: network.operatorSharePercent)
        requestNodes = zip(staked, weights).map {
            RequestNode(id: $0.node, operatorID: $0.operatorID, weight: UInt32(max(1, $1.rounded())))
        }
        exitOperators = Set(nodes.snapshot.entries.lazy.filter { value.fits($0.node, exit) }.map(\.operatorID))
        return (value, exit)
    }

    // MARK: Requests

    /// The nodes that a client would have as proxies; this one is none.
    var proxies: [RequestNode] {
        _ = current()
        return requestNodes
    }

    /// A path of three hops, or two in a small network, to the proxy of a request to `target`, which is no hop.
    ///
    /// Its first hop sees this machine's address, so it is never the proxy itself.
    func requestPath(to proxy: NodeID, avoiding target: NodeID) -> [NodeID]? {
        let (selector, _) = current()
        for count in [3, 2] {
            for _ in 0..<Self.pathTries {
                var guards = Guards()
                guard
                    let path = try? selector.select(
                        hops: count, terminal: .node(proxy), avoiding: [target], guards: &guards, health: health,
                        at: links.time, using: &random)
                else { break }
                if !path.hops.contains(target), path.hops.first.map(reaches) == true { return path.hops }
            }
        }
        return nil
    }

    /// How many paths are tried for one request: in a small network most go over the target.
    private static let pathTries = 16

    private func reaches(_ node: NodeID) -> Bool { hop(node).map { client.reaches($0.addresses) } ?? false }

    /// A node as a hop of a test; nil if its descriptor is not known.
    func hop(_ node: NodeID) -> TestHop? {
        guard let descriptor = nodes.descriptor(of: node)?.descriptor else { return nil }
        return TestHop(target: HopTarget(descriptor), addresses: descriptor.addresses)
    }
}

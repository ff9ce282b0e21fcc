internal import Directory
internal import EventLoop
internal import Links
internal import OnionCrypto
internal import Requests
internal import Wire

/// Chooses the hops of paths from the known part of the network, and reports what is missing if none can be chosen.
extension DirectoryClient {
    /// The numbers of known nodes, of those that may be hops, of known exits, and of exits that may be used.
    typealias Choice = (nodes: Int, hops: Int, exits: Int, usableExits: Int)

    /// The inputs of path selection.
    struct Choosing {
        /// The user's choice: exits that may be used, nodes to avoid, and this machine's own nodes.
        var wanted = (exits: NodeChoice(), avoided: NodeChoice(), own: Set<NodeID>())
        /// How often the user's choice was set.
        var changes = 0
        /// The address families in which this machine reaches nodes.
        var families: AddressFamilies
        /// The selection from one state of the descriptors; nil when it must be made again.
        var selection: Selection?

        init(families: AddressFamilies) { self.families = families }
    }

    /// One state of the descriptors, prepared for choosing.
    struct Selection {
        let value: PathSelector
        let exit: TerminalRequirement
        let choice: Choice
        /// The coverage of the nodes that are not down, and of all nodes.
        let known: Coverage, raw: Coverage
        /// The nodes that can be proxies of onion requests: staked nodes that can be hops.
        let proxies: [RequestNode]
        let generation: UInt64
        let made: Instant
    }

    /// The coverage by `descriptors`, where the nodes `down` are known to be down.
    func coverage(of descriptors: DescriptorStore, down: Set<NodeID>) -> Coverage {
        Coverage(
            of: trust.chain.snapshot, descriptors: descriptors, down: down,
            operatorSharePercent: network.operatorSharePercent, at: unixTime)
    }

    private func current() -> Selection {
        if let made = choosing.selection, made.generation == descriptors.generation, now - made.made < .seconds(3_600) {
            return made
        }
        var rules = PathSelector.Rules(network)
        rules.suites = .available
        rules.hasIPv4 = choosing.families.hasIPv4
        rules.hasIPv6 = choosing.families.hasIPv6
        rules.exits = choosing.wanted.exits
        rules.avoided = choosing.wanted.avoided
        rules.own = choosing.wanted.own
        let time = unixTime
        let value = PathSelector(snapshot: trust.chain.snapshot, descriptors: descriptors.all, rules: rules, at: time)
        // Most destinations have an IPv4 address, and many have no other.
        let wanted = TerminalRequirement.exit([.tcp, .ipv4])
        let exit = value.count(for: wanted) > 0 ? wanted : .exit(.tcp)
        let known = descriptors.all
        let choice = (
            known.count, value.count, known.count { $0.descriptor.roles.contains(.exit) }, value.count(for: exit)
        )
        let raw = coverage(of: descriptors, down: [])
        let made = Selection(
            value: value, exit: exit, choice: choice,
            known: rounds.down.isEmpty ? raw : coverage(of: descriptors, down: rounds.down),
            raw: raw,
            proxies: proxies(knownTo: value),
            generation: descriptors.generation, made: now)
        choosing.selection = made
        excludeGuards()
        return made
    }

    /// The staked nodes that `selector` knows, with weights of which no operator has more than its share.
    private func proxies(knownTo selector: PathSelector) -> [RequestNode] {
        let entries = trust.chain.snapshot.entries.filter { $0.isStaked && selector.knows($0.node) }
        let weights = Coverage.weights(of: entries, operatorSharePercent: network.operatorSharePercent)
        return zip(entries, weights).map {
            RequestNode(id: $0.node, operatorID: $0.operatorID, weight: UInt32(max(1, $1.rounded())))
        }
    }

    /// The coverage of the nodes that are not down, and of all nodes.
    var coverage: (known: Coverage, raw: Coverage) {
        let now = current()
        return (now.known, now.raw)
    }

    /// Why no guard and no path can be chosen yet; nil if enough of the network is known.
    var lack: ClientProblem? {
        let known = current().known
        guard !mayChoose else { return nil }
        let asked = rounds.current.map { ClientProblem.Asked(answers: $0.inquiry.answers, asked: $0.inquiry.asked) }
        guard !known.isEnough else {
            let count = min(Inquiry.few, trust.operatorCount)
            return .asksBeforeGuard(isFirst: guards.primaries.isEmpty, operators: count, asked)
        }
        let (nodes, exits) = (Int(known.nodes), Int(known.exits))
        return .lacksDescriptors(count: known.lacking, of: nodeCount, known: .init(nodes: nodes, exits: exits), asked)
    }

    /// Sets the choice: among `exits` (empty: all), never `avoided` and never the machine's `own` nodes.
    func choose(exits: NodeChoice, avoided: NodeChoice, own: Set<NodeID>) {
        choosing.wanted = (exits, avoided, own)
        choosing.changes += 1
        choosing.selection = nil
        excludeGuards()
    }

    /// Whether the user lets this machine have a link to `node`.
    ///
    /// A country is only known from a descriptor.
    func mayLink(_ node: NodeID) -> Bool {
        let avoided = choosing.wanted.avoided
        guard !avoided.isEmpty else { return true }
        return !avoided.nodes.contains(node) && !(descriptor(of: node).map(avoided.contains) ?? false)
    }

    private func excludeGuards() { guards.exclude { !mayLink($0) } }

    /// The nodes of the network file that this machine reaches and the user lets it ask.
    var bootstrap: [NodeID] { reachableBootstrap.filter(mayLink) }

    private var reachableBootstrap: [NodeID] {
        network.bootstrap.filter { choosing.families.reaches($0.addresses) }.map(\.node)
    }

    /// The problem if the user's choice leaves no node to ask about the network.
    var lacksSource: ClientProblem? {
        let count = reachableBootstrap.count
        return count > 0 && guards.primaries.isEmpty && bootstrap.isEmpty ? .noSource(nodes: count) : nil
    }

    /// The known exits that may be used.
    var usableExits: [Descriptor] {
        let now = current()
        return descriptors.all.map(\.descriptor).filter { now.value.fits($0.node, now.exit) }
    }

    /// Whether the present choice allows a path over `hops` to `terminal`; false if a descriptor is missing.
    func mayUse(_ hops: [NodeID], to terminal: TerminalRequirement = .exit(.tcp)) -> Bool {
        guard let last = hops.last else { return false }
        let selector = current().value
        return hops.allSatisfy(selector.knows) && selector.fits(last, terminal)
    }

    /// The features that an exit must have: TCP, and IPv4 destinations unless no exit reaches them.
    var exit: TerminalRequirement { current().exit }

    /// Whether a known exit has `needs`.
    func hasExit(with needs: Descriptor.ExitSummary) -> Bool {
        current().value.count(for: .exit(needs.union(.tcp))) > 0
    }

    /// The features that an exit must have for streams with `needs`, which are ignored if no exit has them.
    func exit(for needs: Descriptor.ExitSummary) -> TerminalRequirement {
        guard !needs.isEmpty else { return exit }
        return hasExit(with: needs) ? .exit(needs.union(.tcp)) : exit
    }

    /// Whether `node` can serve streams with `needs`: it has them, or no exit has.
    func fits(_ node: NodeID, _ needs: Descriptor.ExitSummary) -> Bool {
        needs.isEmpty || current().value.fits(node, exit(for: needs))
    }

    /// Whether enough descriptors are known for a path of `hops` hops to an exit.
    func canChoose(hops: Int) -> Bool {
        guard !isStale else { return false }
        let now = current()
        guard schedule.hasSucceeded || now.value.missingGuards(of: guards).isEmpty else { return false }
        return mayChoose && now.choice.hops >= hops && now.choice.usableExits > 0
    }

    /// Whether enough of the network is known to choose hops.
    ///
    /// Otherwise a source that withholds descriptors would make the choice for this client.
    var mayChoose: Bool { current().known.isEnough && (rounds.settled != nil || !drawsGuards) }

    /// Whether a choice would draw a guard.
    ///
    /// It would if there is none, if the user excludes one, or if a guard in use has no descriptor here, which a single
    /// source can withhold.
    var drawsGuards: Bool {
        guards.primaries.isEmpty || guards.lacksExcluded || !current().value.missingGuards(of: guards).isEmpty
    }

    /// The numbers of nodes to choose from; nil until a node has answered, and while the snapshot is stale.
    var choice: Choice? { schedule.hasSucceeded && !isStale ? current().choice : nil }

    /// Whether the user's choice of exits and of nodes to avoid leaves no path, although there are other nodes.
    func choiceLeavesNothing(hops: Int) -> Bool {
        guard !choosing.wanted.exits.isEmpty || !choosing.wanted.avoided.isEmpty, let choice else { return false }
        return choice.usableExits == 0 && choice.exits > 0 || choice.hops < hops && choice.nodes >= hops
    }

    /// Whether the snapshot is too old to be relied on.
    var isStale: Bool { trust.chain.isStale(at: unixTime, maximumAge: network.snapshotMaximumAge) }

    /// The problem if the snapshot is too old; nil if it is recent.
    var staleness: ClientProblem? {
        guard isStale else { return nil }
        let age = (unixTime.seconds - min(unixTime.seconds, trust.chain.snapshot.time.seconds)) / 3_600
        return .stale(age: age, limit: network.snapshotMaximumAge / 3_600)
    }

    /// The problem if the snapshot is before the beginning of the histories of several operators' nodes; otherwise nil.
    ///
    /// The nodes' answers are not signed, so one operator alone must not send its clients to another network file. Of
    /// nodes that are not staked, the operator is not known.
    var gap: ClientProblem? {
        let count = Set(trust.unreachable.filter(trust.chain.snapshot.isStaked).map(owner)).count
        guard count > 0, count >= min(2, trust.operatorCount) else { return nil }
        return .unreachable(operators: count, height: trust.chain.snapshot.height)
    }

    /// Chooses the hops of a path, guard first; if `only` names guards, the guard is one of them.
    func select(
        hops: Int, terminal: TerminalRequirement, avoiding: [NodeID], only: [NodeID]? = nil
    ) throws(PathRefusal) -> [NodeID] {
        guard !isStale, mayChoose else { throw .tooLittleKnown }
        return try current().value.select(
            hops: hops, terminal: terminal, avoiding: avoiding, only: only, guards: &guards, health: health,
            at: unixTime, using: &random
        ).hops
    }

    /// The nodes that can be proxies of onion requests; the same array until the descriptors or the snapshot change.
    var proxies: [RequestNode] { current().proxies }

    /// The guards that requests for `target` may use now: the guards in use that do not rest.
    ///
    /// Requests bring no other guard into use. Otherwise a proxy that leaves builds unanswered, or a target that is a
    /// guard, could cause that. `target` itself is left out, because it would know which client sent the request that
    /// it answers. So are other nodes of its operator, unless there are no others.
    func requestGuards(for target: NodeID) -> [NodeID] {
        let others = current().value.workingGuards(of: guards, at: unixTime).filter { $0 != target }
        let foreign = others.filter { owner(of: $0) != owner(of: target) }
        return foreign.isEmpty ? others : foreign
    }

    /// Returns a function that tells whether a node can be the proxy of a request for `target` now.
    ///
    /// Nil if no node can be, and the request must wait.
    func reach(for target: NodeID, hops: Int) -> ((NodeID) -> Bool)? {
        guard !isStale, mayChoose else { return nil }
        let selector = current().value
        guard hops > 1 else { return selector.knows }
        let guards = requestGuards(for: target)
        guard !guards.isEmpty else { return nil }
        return { proxy in guards.contains { selector.mayShareAPath($0, proxy) } }
    }

    /// The onion key for one request, from a descriptor that the target itself sent; nil if the descriptor is not
    /// accepted.
    ///
    /// The descriptor is not stored, because all clients use the descriptors of one list. If the listed descriptor is
    /// as new, its key is returned.
    func onionKey(of node: NodeID, in bytes: [UInt8]) -> [UInt8]? {
        guard let candidate = try? SignedDescriptor(decoding: bytes.rawSpan), candidate.descriptor.node == node
        else { return nil }
        if let held = descriptor(of: node), held.published >= candidate.descriptor.published { return held.onionKey }
        guard (try? descriptors.isNews(candidate, at: unixTime)) == true, candidate.isAuthentic(network: network.id)
        else { return nil }
        return candidate.descriptor.onionKey
    }

    /// A node's descriptor, if it is valid now.
    func descriptor(of node: NodeID) -> Descriptor? { descriptors.descriptor(of: node, at: unixTime)?.descriptor }

    /// The descriptor for a path over `node`; for the first hop it may be a newer one that the guard itself sent.
    func descriptor(of node: NodeID, isFirst: Bool) -> Descriptor? {
        let used = descriptor(of: node)
        guard isFirst, let word = doubts.guardWords[node], unixTime < word.expires, let used,
            word.published > used.published
        else { return used }
        return word
    }

    /// The addresses at which this machine may reach a node, by its descriptor or else by the network file.
    func addresses(of node: NodeID) -> [Endpoint] {
        guard mayLink(node) else { return [] }
        return descriptor(of: node)?.addresses ?? network.bootstrap.first { $0.node == node }?.addresses ?? []
    }
}

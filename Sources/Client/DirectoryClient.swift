internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import Onion
internal import OnionCrypto
internal import Store
internal import Transport
internal import Wire

/// What the client knows of the network: snapshot, descriptors, guards and health, kept current over links and in the store.
final class DirectoryClient {
    /// How often descriptors are asked for once paths can be built.
    static let refresh = TimeSpan.seconds(300)
    /// How long a question may take.
    static let answerLimit = TimeSpan.seconds(10)

    private let links: Links
    private let loop: Loop
    private let network: NetworkFile
    private let store: Store?
    private let log: Logger
    private var chain: SnapshotChain
    private var descriptors: DescriptorStore
    private var guards: Guards
    private var health: NodeHealth
    private var random = SystemRandomNumberGenerator()
    private var selector: (value: PathSelector, exit: Terminal, generation: UInt64, made: Instant)?
    private var families: AddressFamilies
    private var isFetching = false
    private var nextFetch = Instant(nanoseconds: 0)
    private var failures = 0
    private var refetched: [NodeID: Instant] = [:]
    private var savedGuards: UInt64 = 0
    private var savedDescriptors: UInt64 = 0
    private var savedHealth: [NodeRow] = []
    /// Whether a node has been asked since the start: until then guards are not replaced for want of their descriptors.
    private var hasFetched = false
    private var nextSave = Instant(nanoseconds: 0)
    /// Called when descriptors have come.
    var changed: () -> Void = {}

    init(links: Links, loop: Loop, network: NetworkFile, store: Store?, log: Logger) throws {
        self.links = links
        self.loop = loop
        self.network = network
        self.store = store
        self.log = log
        let now = links.time
        let kept = try store?.trustedSnapshot(of: network.id)
        chain = try SnapshotChain(
            network, kept: kept?.bytes, mark: kept.map { .init(height: $0.height, digest: $0.digest) })
        descriptors = DescriptorStore(
            network, snapshot: chain.snapshot, kept: try store?.descriptors() ?? [], at: now)
        guards = Guards(rows: try store?.guards() ?? [])
        health = NodeHealth(rows: try store?.health() ?? [], at: now)
        families = AddressFamilies(network, links)
        savedGuards = guards.generation
        savedDescriptors = descriptors.generation
        savedHealth = health.rows
    }

    private var now: Instant { Instant(nanoseconds: loop.now) }
    private var unixTime: UnixTime { links.time }

    /// The wall clock, as build records carry it.
    var time: UnixTime { unixTime }
    /// How many descriptors are held.
    var descriptorCount: Int { descriptors.count }
    /// How many staked nodes the snapshot has.
    var nodeCount: Int { chain.snapshot.stakedCount }

    // MARK: Choosing

    private func current() -> (value: PathSelector, exit: Terminal) {
        if let selector, selector.generation == descriptors.generation, now - selector.made < .seconds(3_600) {
            return (selector.value, selector.exit)
        }
        var rules = PathSelector.Rules(network)
        rules.suites = Suite.aes256gcm.isAvailable ? 3 : 2
        rules.hasIPv4 = families.hasIPv4
        rules.hasIPv6 = families.hasIPv6
        let value = PathSelector(snapshot: chain.snapshot, descriptors: descriptors.all, rules: rules, at: unixTime)
        // Most destinations have an IPv4 address, and many no other.
        let wanted = Terminal.exit([.tcp, .ipv4])
        let exit = value.count(for: wanted) > 0 ? wanted : .exit(.tcp)
        selector = (value, exit, descriptors.generation, now)
        return (value, exit)
    }

    /// What an exit must be able to do: TCP, and to IPv4 addresses unless no exit is.
    var exit: Terminal { current().exit }

    /// Whether enough descriptors are known for a path of `hops` hops.
    func canChoose(hops: Int) -> Bool {
        guard !isStale else { return false }
        let (selector, exit) = current()
        guard hasFetched || selector.missingGuards(of: guards).isEmpty else { return false }
        return selector.count >= hops && selector.count(for: exit) > 0
    }

    /// Whether the snapshot is too old to be relied on.
    var isStale: Bool { chain.isStale(at: unixTime, maximumAge: network.snapshotMaximumAge) }

    /// Chooses the hops of a path, guard first.
    func select(hops: Int, terminal: Terminal, avoiding: [NodeID]) throws(PathRefusal) -> [NodeID] {
        try current().value.select(
            hops: hops, terminal: terminal, avoiding: avoiding, guards: &guards, health: health, at: unixTime,
            using: &random
        ).hops
    }

    /// A node's descriptor that holds now.
    func descriptor(of node: NodeID) -> Descriptor? { descriptors.descriptor(of: node, at: unixTime)?.descriptor }

    /// The AEAD for a hop: the fastest that both ends have.
    func suite(for descriptor: Descriptor) -> Suite {
        Suite.aes256gcm.isAvailable && descriptor.suites & 1 != 0 ? .aes256gcm : .chacha20poly1305
    }

    /// Where a node can be reached.
    func addresses(of node: NodeID) -> [Endpoint] {
        descriptor(of: node)?.addresses ?? network.bootstrap.first { $0.node == node }?.addresses ?? []
    }

    // MARK: What happened to paths

    /// A path was built.
    func succeeded(_ hops: [NodeID]) {
        guards.succeeded(hops[0], at: unixTime)
        note(guards.builtPath(through: hops[0], succeeded: true), hops[0])
        health.succeeded(hops, at: unixTime)
    }

    /// Looks anew at what this machine reaches, since a link could not be made: it may have come to another network.
    private func refreshFamilies() {
        let found = AddressFamilies(network, links)
        guard found != families else { return }
        families = found
        selector = nil
    }

    /// The guard could not be reached.
    func guardFailed(_ node: NodeID) {
        refreshFamilies()
        guards.failed(node, at: unixTime)
        health.unreachable(node, at: unixTime)
    }

    /// The link to a guard has died: builds go through another one, where there is one.
    func guardLost(_ node: NodeID) { guards.lost(node, at: unixTime) }

    /// The hop at `hop` refused with `status`, or without a word.
    func refused(_ hops: [NodeID], hop: Int, status: BuildStatus?) {
        let next = hop + 1 < hops.count ? hops[hop + 1] : nil
        note(guards.builtPath(through: hops[0], succeeded: false), hops[0])
        // A hop that resets the build or breaks its answer counts as one that cannot carry it.
        let reason = status.flatMap { NodeHealth.Reason(rawValue: $0.rawValue) } ?? .overloaded
        health.refused(by: hops[hop], next: next, reason: reason, at: unixTime)
        if hop == 0, status == .overloaded || status == .draining { guards.failed(hops[0], at: unixTime) }
        // An onion key that a restart has replaced: the node's own word, or its neighbour's, that it cannot open a record.
        switch status {
        case nil: refetch(hops[hop])
        case .nextHopFailed: if let next { refetch(next) }
        default: break
        }
    }

    /// No answer came.
    func timedOut(_ hops: [NodeID]) {
        note(guards.builtPath(through: hops[0], succeeded: false), hops[0])
        health.timedOut(hops, at: unixTime)
    }

    private func note(_ level: PathBias.Level?, _ node: NodeID) {
        guard let level else { return }
        log.warning("a guard fails many of the paths through it", metadata: ["level": "\(level)"])
    }

    // MARK: Fetching

    /// Fetches and saves what is due; called several times a second.
    func tick(hops: Int) {
        if now >= nextFetch { fetch() }
        if now >= nextSave { save() }
        if !canChoose(hops: hops), nextFetch > now + .seconds(3) { nextFetch = now }
    }

    /// Asks for all descriptors anew soon, as when nothing works any more.
    func refreshSoon() { if nextFetch > now + .seconds(2) { nextFetch = now } }

    /// Any node can say which descriptors there are: a guard where one is known, else one of the network file's.
    private func fetch() {
        guard !isFetching else { return }
        let guardNodes = guards.primaries.map(\.node).filter { !addresses(of: $0).isEmpty }
        let useGuard = failures == 0 && !guardNodes.isEmpty
        let bootstrap = network.bootstrap.filter { families.reaches($0.addresses) }.randomElement(using: &random)
        let source = useGuard ? guardNodes.randomElement(using: &random) : bootstrap?.node
        guard let source else { return }
        isFetching = true
        links.link(to: source, at: addresses(of: source), limit: PathPool.linkLimit) { [weak self] link in
            guard let self else { return }
            guard let link else {
                refreshFamilies()
                return fetched(false)
            }
            var writer = ByteWriter(capacity: 8)
            // Rounded, so that the question does not tell clients apart; failures ask for everything.
            let newest = failures > 0 ? 0 : descriptors.newest.seconds
            writer.u64(newest > 7_200 ? (newest - 3_600) / 3_600 * 3_600 : 0)
            links.request(on: link, .getDescriptors, body: writer.bytes, timeout: Self.answerLimit) {
                [weak self] result in
                guard let self else { return }
                guard case .success(let body) = result else { return fetched(false) }
                fetched(insert(body) >= 0)
            }
            fetchSnapshot(link)
        }
    }

    /// Asks for a snapshot newer than the trusted one; it counts only with the signatures that the rule asks for.
    private func fetchSnapshot(_ link: LinkID) {
        var writer = ByteWriter(capacity: 8)
        writer.u64(chain.highWaterMark.height)
        links.request(on: link, .getSnapshot, body: writer.bytes, timeout: Self.answerLimit) { [weak self] result in
            guard let self, case .success(let body) = result, !body.isEmpty else { return }
            do throws(SnapshotRefusal) {
                guard try chain.accept(body.rawSpan, at: unixTime) else { return }
            } catch {
                return log.warning("a node offered a snapshot that is refused", metadata: ["reason": "\(error)"])
            }
            descriptors.follow(chain.snapshot)
            selector = nil
            keepSnapshot()
            changed()
        }
    }

    private func keepSnapshot() {
        let kept = Store.TrustedSnapshot(
            network: network.id, height: chain.highWaterMark.height, digest: chain.highWaterMark.digest,
            bytes: chain.trusted.encoded())
        do { try store?.setTrustedSnapshot(kept) } catch { warn(error) }
    }

    private func fetched(_ isGood: Bool) {
        isFetching = false
        if isGood { hasFetched = true }
        failures = isGood ? 0 : failures + 1
        nextFetch = isGood ? now + Self.refresh : now + PathPool.pause(after: failures)
        if isGood { changed() }
    }

    /// How many new descriptors a list held; -1 if it is none.
    private func insert(_ body: [UInt8]) -> Int {
        guard let list = try? SignedDescriptor.decodeList(body.rawSpan) else { return -1 }
        var count = 0
        for descriptor in list { if (try? descriptors.insert(descriptor, at: unixTime)) == true { count += 1 } }
        return count
    }

    /// Asks a guard for one node's descriptor, and the node itself if it is a guard.
    private func refetch(_ node: NodeID) {
        if let last = refetched[node], now - last < .seconds(1) { return }
        if refetched.count > 64 { refetched.removeAll() }
        refetched[node] = now
        let isGuard = guards.primaries.contains { $0.node == node }
        let others = guards.primaries.map(\.node).filter { $0 != node }
        guard let source = isGuard ? node : others.randomElement(using: &random) else { return }
        links.link(to: source, at: addresses(of: source), limit: PathPool.linkLimit) { [weak self] link in
            guard let self, let link else { return }
            links.request(on: link, .getDescriptor, body: node.key.array, timeout: Self.answerLimit) {
                [weak self] result in
                guard let self, case .success(let body) = result, !body.isEmpty else { return }
                if (try? descriptors.insert(body.rawSpan, at: unixTime)) != nil { changed() }
            }
        }
    }

    // MARK: Store

    /// Writes what has changed to the store.
    func save() {
        nextSave = now + .seconds(1)
        guard let store else { return }
        do throws(StoreError) {
            if guards.generation != savedGuards {
                try store.setGuards(guards.rows)
                savedGuards = guards.generation
            }
            if descriptors.generation != savedDescriptors {
                try store.addDescriptors(Array(descriptors.all))
                try store.removeExpiredDescriptors(at: unixTime)
                savedDescriptors = descriptors.generation
            }
            let rows = health.rows
            if rows != savedHealth {
                try store.setHealth(rows)
                savedHealth = rows
                nextSave = now + .seconds(10)
            }
        } catch {
            warn(error)
            nextSave = now + .seconds(60)
        }
    }

    private func warn(_ error: StoreError) {
        log.warning("the data folder cannot be written to", metadata: ["error": "\(error)"])
    }
}

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
    /// How long the first link may take that something is asked over.
    static let firstLinkLimit = TimeSpan.seconds(4)
    /// How long a question may take.
    static let answerLimit = TimeSpan.seconds(10)
    /// How long the answer to a question about all nodes may take.
    static let longAnswerLimit = TimeSpan.seconds(90)

    let links: Links
    let loop: Loop
    let network: NetworkFile
    let store: Store?
    let log: Logger
    var chain: SnapshotChain
    var descriptors: DescriptorStore
    var guards: Guards
    private var health: NodeHealth
    var random = SecureRandom()
    /// How often what changed is asked for because a hop could not be used.
    static let changesPause = TimeSpan.seconds(10)
    /// How long until the next question while no path can be chosen or built: not at each tick.
    private static let anxiousPause = TimeSpan.seconds(1)
    var selector: Selection?
    var families: AddressFamilies
    /// Which exits may be used, which nodes are in no path, and which are this machine's own.
    private var exits = NodeChoice(), avoided = NodeChoice(), own: Set<NodeID> = []
    var isFetching = false
    /// Since when one node is asked alone.
    var fetchSince = Instant(nanoseconds: 0)
    var nextFetch = Instant(nanoseconds: 0)
    var failures = 0
    var refetched: [NodeID: Instant] = [:]
    /// The list of descriptors that is used; nil while no node has had one.
    var usedList: UsedList?
    /// Newer ones that wait for the word of a second operator.
    var offers = ListOffers()
    /// Hops that could not be used, perhaps for want of a version that no list names, and when others are asked about it.
    var suspects: Set<NodeID> = []
    var nextVouch = Instant(nanoseconds: 0)
    /// What guards have said of themselves, for their own hop; it counts where it is newer than the version in use.
    var guardWords: [NodeID: Descriptor] = [:]
    /// Until when what changed counts as asked for.
    var changesAsked = Instant(nanoseconds: 0)
    /// When a node that is no guard is asked next which snapshot it has.
    var nextStranger: Instant
    /// The inquiry that is under way, its number, how many have failed, and when the next may begin.
    var round: Round?
    var roundNumber: UInt64 = 0
    var failedRounds = 0
    var nextRound = Instant(nanoseconds: 0)
    /// When an inquiry was settled last, and the nodes that are down by it.
    var settled: Instant?
    var down: Set<NodeID> = []
    /// How many operators have staked nodes.
    private(set) var operatorCount = 0
    /// The wall clock less the one that runs on, in seconds, and up to when the guards' time was counted by that.
    var clockOffset: Int64?
    var agedAt: Instant
    var hasAgedWhileOff = false
    var hasWarnedOfClock = false
    private var toldLack: String?
    /// Whether the next question is for all descriptors.
    var wantsAll = false
    /// The nodes that have the snapshot that is trusted here, as far as they were asked, and whether one has another.
    var witnesses: Set<NodeID> = []
    var isContradicted = false
    private var savedGuards: UInt64 = 0
    private var savedInner: UInt64 = 0
    private var savedDescriptors: UInt64 = 0
    private var savedHealth: [NodeRow] = []
    /// Whether a node has been asked since the start: until then guards are not replaced for want of their descriptors.
    var hasFetched = false
    private var nextSave = Instant(nanoseconds: 0)
    /// Why the last write to the store failed; nil when it did not.
    private(set) var storeError: StoreError?
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
        guards = Guards(rows: try store?.guards() ?? [], inner: try store?.innerSet() ?? [])
        health = NodeHealth(rows: try store?.health() ?? [], at: now)
        families = AddressFamilies(network, links)
        savedGuards = guards.generation
        savedInner = guards.inner.generation
        savedDescriptors = descriptors.generation
        savedHealth = health.rows
        agedAt = links.running
        nextStranger = Instant(nanoseconds: loop.now) + .seconds(.random(in: 43_200...129_600, using: &random))
        followOperators()
        readList()
    }

    /// Goes by the operators of the trusted snapshot from now on.
    func followOperators() {
        let snapshot = chain.snapshot
        operatorCount = Set(snapshot.entries.lazy.filter(\.isStaked).map(\.operatorID)).count
        links.setOperators(operatorCount)
        // A node of the network file that is staked no more has no say about the time.
        links.operatorOf = { node in snapshot.entry(of: node).flatMap { $0.isStaked ? $0.operatorID : nil } }
    }

    var now: Instant { Instant(nanoseconds: loop.now) }
    var unixTime: UnixTime { links.time }

    /// The wall clock, as build records carry it.
    var time: UnixTime { unixTime }
    /// How many descriptors are held.
    var descriptorCount: Int { descriptors.count }
    /// How many staked nodes the snapshot has.
    var nodeCount: Int { chain.snapshot.stakedCount }
    /// The trusted snapshot.
    var snapshotStatus: SnapshotStatus {
        SnapshotStatus(chain.snapshot, digest: chain.digest, list: usedList?.list.round)
    }

    // MARK: Choosing

    /// How many nodes are known, how many of them may be hops, how many are exits, and how many of these may be used.
    typealias Choice = (nodes: Int, hops: Int, exits: Int, usableExits: Int)

    /// What is chosen by, made from one state of the descriptors.
    struct Selection {
        let value: PathSelector
        let exit: Terminal
        let choice: Choice
        /// What is known of the nodes that are not down, and of all.
        let known: Coverage, raw: Coverage
        let generation: UInt64
        let made: Instant
    }

    private func current() -> Selection {
        if let selector, selector.generation == descriptors.generation, now - selector.made < .seconds(3_600) {
            return selector
        }
        var rules = PathSelector.Rules(network)
        rules.suites = Suite.aes256gcm.isAvailable ? 3 : 2
        rules.hasIPv4 = families.hasIPv4
        rules.hasIPv6 = families.hasIPv6
        rules.exits = exits
        rules.avoided = avoided
        rules.own = own
        let time = unixTime
        let value = PathSelector(snapshot: chain.snapshot, descriptors: descriptors.all, rules: rules, at: time)
        // Most destinations have an IPv4 address, and many no other.
        let wanted = Terminal.exit([.tcp, .ipv4])
        let exit = value.count(for: wanted) > 0 ? wanted : .exit(.tcp)
        let known = descriptors.all
        let choice = (
            known.count, value.count, known.count { $0.descriptor.roles.contains(.exit) }, value.count(for: exit)
        )
        func coverage(_ down: Set<NodeID>) -> Coverage {
            Coverage(
                of: chain.snapshot, descriptors: descriptors, down: down,
                operatorSharePercent: network.operatorSharePercent, at: time)
        }
        let raw = coverage([])
        let made = Selection(
            value: value, exit: exit, choice: choice, known: down.isEmpty ? raw : coverage(down), raw: raw,
            generation: descriptors.generation, made: now)
        selector = made
        return made
    }

    /// What is known of the nodes that are not down, and of all.
    var coverage: (known: Coverage, raw: Coverage) {
        let now = current()
        return (now.known, now.raw)
    }

    /// Why no guard and no path is chosen yet, in one sentence; nil when enough of the network is known.
    var lack: String? {
        let known = current().known
        guard !mayChoose else { return nil }
        let asked = round.map { ", and \($0.inquiry.answers) of \($0.inquiry.asked) nodes asked have answered" } ?? ""
        guard !known.isEnough else {
            let count = min(Inquiry.few, operatorCount)
            let place = guards.sample.isEmpty ? "the first" : "another"
            return "Before \(place) guard is drawn, nodes of \(count) operators are asked for all descriptors\(asked)."
        }
        let (nodes, exits) = (Int(known.nodes), Int(known.exits))
        return "The descriptors of \(known.lacking) of \(nodeCount) nodes are lacking (known: \(nodes) % of the weight "
            + "of the nodes, needed: \(Int(Coverage.leastNodes)) %; of the exits: \(exits) %, needed: "
            + "\(Int(Coverage.leastExits)) %)\(asked); look whether nodes of the network file can be reached."
    }

    /// Chooses among `exits` (empty: all), never `avoided` and never the machine's `own` nodes, from now on.
    func choose(exits: NodeChoice, avoided: NodeChoice, own: Set<NodeID>) {
        (self.exits, self.avoided, self.own) = (exits, avoided, own)
        selector = nil
    }

    /// The exits that may be used, as far as they are known.
    var usableExits: [Descriptor] {
        let now = current()
        return descriptors.all.map(\.descriptor).filter { now.value.fits($0.node, now.exit) }
    }

    /// Whether a path may go by these hops as things are chosen now.
    func mayUse(_ hops: [NodeID]) -> Bool {
        guard let last = hops.last else { return false }
        let selector = current().value
        return hops.allSatisfy(selector.knows) && selector.fits(last, .exit(.tcp))
    }

    /// What an exit must be able to do: TCP, and to IPv4 addresses unless no exit is.
    var exit: Terminal { current().exit }

    /// Whether an exit is known that has `needs`.
    func hasExit(with needs: Descriptor.ExitSummary) -> Bool {
        current().value.count(for: .exit(needs.union(.tcp))) > 0
    }

    /// What an exit must be able to do for streams that need `needs` of it; what no exit has is not asked for.
    func exit(for needs: Descriptor.ExitSummary) -> Terminal {
        guard !needs.isEmpty else { return exit }
        return hasExit(with: needs) ? .exit(needs.union(.tcp)) : exit
    }

    /// Whether `node` will do where an exit with `needs` is wanted: it has that, or no exit has.
    func fits(_ node: NodeID, _ needs: Descriptor.ExitSummary) -> Bool {
        needs.isEmpty || current().value.fits(node, exit(for: needs))
    }

    /// Whether enough descriptors are known for a path of `hops` hops to an exit.
    func canChoose(hops: Int) -> Bool {
        guard !isStale else { return false }
        let now = current()
        guard hasFetched || now.value.missingGuards(of: guards).isEmpty else { return false }
        return mayChoose && now.choice.hops >= hops && now.choice.usableExits > 0
    }

    /// Whether enough of the network is known to choose by: a source that has left out the rest would choose for this client.
    private var mayChoose: Bool { current().known.isEnough && (settled != nil || !drawsGuards) }

    /// Whether a choice would draw a guard: there is none, or one in use has no descriptor here, which a single source can leave out.
    var drawsGuards: Bool { guards.sample.isEmpty || !current().value.missingGuards(of: guards).isEmpty }

    /// What there is to choose from; nil as long as no node has been asked.
    var choice: Choice? { hasFetched && !isStale ? current().choice : nil }

    /// Whether the choice of exits and of nodes to avoid leaves no path, of those that there are.
    func choiceLeavesNothing(hops: Int) -> Bool {
        guard !exits.isEmpty || !avoided.isEmpty, let choice else { return false }
        return choice.usableExits == 0 && choice.exits > 0 || choice.hops < hops && choice.nodes >= hops
    }

    /// Whether the snapshot is too old to be relied on.
    var isStale: Bool { chain.isStale(at: unixTime, maximumAge: network.snapshotMaximumAge) }

    /// What to do about a snapshot that is too old, in one sentence.
    var staleness: String? {
        guard isStale else { return nil }
        let age = (unixTime.seconds - min(unixTime.seconds, chain.snapshot.time.seconds)) / 3_600
        return "The newest snapshot of the network is \(age) hours old, and it is trusted for "
            + "\(network.snapshotMaximumAge / 3_600) hours; look whether this machine's clock is right and its network "
            + "works, or get the network's newest network file and start again."
    }

    /// Chooses the hops of a path, guard first.
    func select(hops: Int, terminal: Terminal, avoiding: [NodeID]) throws(PathRefusal) -> [NodeID] {
        guard !isStale, mayChoose else { throw .tooLittleKnown }
        return try current().value.select(
            hops: hops, terminal: terminal, avoiding: avoiding, guards: &guards, health: health, at: unixTime,
            using: &random
        ).hops
    }

    /// A node's descriptor that holds now.
    func descriptor(of node: NodeID) -> Descriptor? { descriptors.descriptor(of: node, at: unixTime)?.descriptor }

    /// The descriptor by which a path is built over `node`: as first hop perhaps the guard's own newer one.
    func descriptor(of node: NodeID, isFirst: Bool) -> Descriptor? {
        let used = descriptor(of: node)
        guard isFirst, let word = guardWords[node], unixTime < word.expires, let used, word.published > used.published
        else { return used }
        return word
    }

    /// The AEAD for a hop: the fastest that both ends have.
    func suite(for descriptor: Descriptor) -> Suite {
        Suite.aes256gcm.isAvailable && descriptor.suites & 1 != 0 ? .aes256gcm : .chacha20poly1305
    }

    /// Where a node can be reached.
    func addresses(of node: NodeID) -> [Endpoint] {
        descriptor(of: node)?.addresses ?? network.bootstrap.first { $0.node == node }?.addresses ?? []
    }

    // MARK: What happened to paths

    /// A path was built; its number is for ``pathEnded(_:through:_:)``.
    func succeeded(_ hops: [NodeID]) -> UInt64 {
        guards.succeeded(hops[0], at: unixTime)
        guards.accepted(hops[0], next: hops.dropFirst().first)
        guards.inner.succeeded(hops)
        note(guards.builtPath(through: hops[0], succeeded: true))
        health.succeeded(hops, at: unixTime)
        return guards.pathReady(hops)
    }

    /// A ready path has ended, and not at the client's wish.
    func pathEnded(_ number: UInt64, through node: NodeID, _ end: PathLoss) {
        let (level, isSetAside) = guards.pathEnded(number, through: node, end)
        note(level)
        guard isSetAside else { return }
        log.warning("a guard ended most of the ready paths through it, and another did not; it is set aside")
    }

    /// Looks anew at what this machine reaches, since a link could not be made: it may have come to another network.
    func refreshFamilies() {
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

    /// Whether paths can go over another guard in use than `node`.
    func hasOtherGuard(than node: NodeID) -> Bool { guards.hasOther(than: node, at: unixTime) }

    /// The link to a guard has died: builds go through another one, where there is one.
    func guardLost(_ node: NodeID) { guards.lost(node, at: unixTime) }

    /// The guard reset the build: it could not open its record, or was asked for too much.
    func reset(_ hops: [NodeID]) {
        guards.refused(hops[0], next: hops.dropFirst().first, at: unixTime)
        health.refused(by: hops[0], next: nil, reason: .overloaded, at: unixTime)
        refetchGuard(hops[0])
    }

    /// The hop at `hop` refused with `status`, or broke its answer.
    ///
    /// A guard that refuses for itself has carried no build: that is no bias.
    func refused(_ hops: [NodeID], hop: Int, status: BuildStatus?) {
        let next = hop + 1 < hops.count ? hops[hop + 1] : nil
        if hop > 0 || status?.isOwn != true {
            guards.accepted(hops[0], next: hops.dropFirst().first)
            note(guards.builtPath(through: hops[0], succeeded: false))
        }
        // A hop that resets the build or breaks its answer counts as one that cannot carry it.
        let reason = status.flatMap { NodeHealth.Reason(rawValue: $0.rawValue) }
        health.refused(by: hops[hop], next: next, reason: reason ?? .overloaded, at: unixTime)
        guards.inner.refused(hops, hop: hop, reason: reason, at: unixTime)
        if hop == 0, status == .overloaded { guards.refused(hops[0], next: next, at: unixTime) }
        if hop == 0, status == .draining { guards.failed(hops[0], at: unixTime) }
        // An onion key that a restart has replaced: the node's own word, or its neighbour's, that it cannot open a record.
        switch status {
        case nil: if hop == 0 { refetchGuard(hops[0]) } else { fetchChanges(of: hops[hop]) }
        case .nextHopFailed: if let next { fetchChanges(of: next) }
        default: break
        }
    }

    /// No answer came.
    func timedOut(_ hops: [NodeID]) {
        note(guards.builtPath(through: hops[0], succeeded: false))
        health.timedOut(hops, at: unixTime)
    }

    private func note(_ level: PathBias.Level?) {
        guard let level else { return }
        log.warning("a guard fails many of the paths through it", metadata: ["level": "\(level)"])
    }

    /// Fetches and saves what is due; called several times a second.
    func tick(hops: Int) {
        lookAtClock()
        advanceRound()
        if isFetching, round == nil, now - fetchSince >= Inquiry.patience, !canChoose(hops: hops) {
            // A node that has a link and does not answer must not hold this client up; what it brings later is taken all the same.
            roundNumber &+= 1
            fetched(false)
        }
        if now >= nextFetch { fetch() }
        confirmList()
        if now >= nextSave { save() }
        if !canChoose(hops: hops) { refreshSoon() }
        tellLack()
    }

    /// Says in the log that too little is known, once an inquiry has not helped, and that it is enough again.
    private func tellLack() {
        let told = staleness ?? (failedRounds > 0 ? lack : nil)
        guard (told == nil) != (toldLack == nil) else { return }
        toldLack = told
        if let told { log.warning("\(told)") } else { log.notice("enough of the network is known") }
    }

    /// Asks anew soon, as when nothing works any more.
    func refreshSoon() { if nextFetch > now + .seconds(3) { nextFetch = now + Self.anxiousPause } }

    // MARK: Store

    /// Writes what has changed to the store: some at a time, or all of it at the end.
    func save(all: Bool = false) {
        nextSave = now + .seconds(1)
        guard let store else { return }
        do throws(StoreError) {
            if guards.generation != savedGuards {
                try store.setGuards(guards.rows)
                savedGuards = guards.generation
            }
            if guards.inner.generation != savedInner {
                try store.setInnerSet(guards.innerRows)
                savedInner = guards.inner.generation
            }
            if descriptors.generation != savedDescriptors {
                let (list, upTo) = descriptors.arrivals(after: savedDescriptors, limit: all ? .max : 200)
                try store.addDescriptors(list)
                if upTo == descriptors.generation { try store.removeExpiredDescriptors(at: unixTime) }
                savedDescriptors = upTo
            }
            let rows = health.rows
            if rows != savedHealth {
                try store.setHealth(rows)
                savedHealth = rows
                nextSave = now + .seconds(10)
            }
            if storeError != nil { log.notice("the data folder can be written to again") }
            storeError = nil
        } catch {
            if storeError == nil { warn(error) }
            storeError = error
            nextSave = now + .seconds(10)
        }
    }

    func warn(_ error: StoreError) {
        log.warning("the data folder cannot be written to", metadata: ["error": "\(error)"])
    }
}

extension BuildStatus {
    /// Whether a hop says that it does not take the build itself, and nothing of the next one.
    fileprivate var isOwn: Bool {
        switch self {
        case .overloaded, .draining, .suiteUnavailable, .timeInvalid: true
        case .ready, .unknownNextHop, .nextHopUnreachable, .nextHopFailed: false
        }
    }
}

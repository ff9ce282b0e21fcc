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
    private let ticker: Ticker
    let network: NetworkFile
    let store: Store?
    let log: Logger
    var chain: SnapshotChain
    var descriptors: DescriptorStore
    var guards: Guards
    var health: NodeHealth
    var random = SecureRandom()
    /// How often what changed is asked for because a hop could not be used.
    static let changesPause = TimeSpan.seconds(10)
    /// How long until the next question while no path can be chosen or built: not at each tick.
    private static let anxiousPause = TimeSpan.seconds(1)
    var selector: Selection?
    var families: AddressFamilies
    /// Which exits may be used, which nodes are in no path, and which are this machine's own.
    var wanted = (exits: NodeChoice(), avoided: NodeChoice(), own: Set<NodeID>())
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
    /// What the store has, by the generations of each, and when it is looked at next.
    private struct Saved {
        var guards: UInt64
        var inner: UInt64
        var descriptors: UInt64
        var health: [NodeRow]
        var next = Instant(nanoseconds: 0)
    }

    private var saved: Saved
    /// Whether a node has been asked since the start: until then guards are not replaced for want of their descriptors.
    var hasFetched = false
    /// Why the last write to the store failed; nil when it did not.
    private(set) var storeError: StoreError?

    /// Knows what `store` has kept; `ticker` runs when descriptors have come.
    init(links: Links, network: NetworkFile, store: Store?, ticker: Ticker, log: Logger) throws {
        self.links = links
        self.ticker = ticker
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
        saved = Saved(
            guards: guards.generation, inner: guards.inner.generation, descriptors: descriptors.generation,
            health: health.rows)
        agedAt = links.running
        nextStranger = links.now + .seconds(.random(in: 43_200...129_600, using: &random))
        followOperators()
        readList()
    }

    /// Goes by the operators of the trusted snapshot from now on.
    func followOperators() {
        // A node of the network file that is staked no more has no say about the time.
        let staked = chain.snapshot.entries.lazy.filter(\.isStaked).map { ($0.node, $0.operatorID) }
        let operators = Dictionary(staked, uniquingKeysWith: { first, _ in first })
        operatorCount = Set(operators.values).count
        links.setOperators(operators)
    }

    var loop: Loop { links.loop }
    var now: Instant { links.now }
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

    // MARK: Time

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
        if now >= saved.next { save() }
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

    /// Descriptors have come.
    func changed() { ticker.soon() }

    /// Asks anew soon, as when nothing works any more.
    func refreshSoon() { if nextFetch > now + .seconds(3) { nextFetch = now + Self.anxiousPause } }

    // MARK: Store

    /// Writes what has changed to the store: some at a time, or all of it at the end.
    func save(all: Bool = false) {
        saved.next = now + .seconds(1)
        guard let store else { return }
        do throws(StoreError) {
            if guards.generation != saved.guards {
                try store.setGuards(guards.rows)
                saved.guards = guards.generation
            }
            if guards.inner.generation != saved.inner {
                try store.setInnerSet(guards.innerRows)
                saved.inner = guards.inner.generation
            }
            if descriptors.generation != saved.descriptors {
                let (list, upTo) = descriptors.arrivals(after: saved.descriptors, limit: all ? .max : 200)
                try store.addDescriptors(list)
                if upTo == descriptors.generation { try store.removeExpiredDescriptors(at: unixTime) }
                saved.descriptors = upTo
            }
            let rows = health.rows
            if rows != saved.health {
                try store.setHealth(rows)
                saved.health = rows
                saved.next = now + .seconds(10)
            }
            if storeError != nil { log.notice("the data folder can be written to again") }
            storeError = nil
        } catch {
            if storeError == nil { warn(error) }
            storeError = error
            saved.next = now + .seconds(10)
        }
    }

    func warn(_ error: StoreError) {
        log.warning("the data folder cannot be written to", metadata: ["error": "\(error)"])
    }
}

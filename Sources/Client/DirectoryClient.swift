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
///
/// It has more members than most types: it wires parts with rules of their own to links.
final class DirectoryClient {
    /// How long the first link may take that something is asked over.
    static let firstLinkLimit = TimeSpan.seconds(4)
    /// How long a question may take.
    static let answerLimit = TimeSpan.seconds(10)
    /// How long the answer to a question about all nodes may take.
    static let longAnswerLimit = TimeSpan.seconds(90)
    /// How long until the next question while no path can be chosen or built: not at each tick.
    private static let anxiousPause = TimeSpan.seconds(1)

    let links: Links
    private let ticker: Ticker
    let network: NetworkFile
    let log: Logger
    /// What is kept from one start to the next.
    private(set) var keeper: DirectoryKeeper
    /// The trusted snapshot.
    var trust: SnapshotTrust
    var descriptors: DescriptorStore
    var guards: Guards
    var health: NodeHealth
    var random = SecureRandom()
    /// What paths are chosen by.
    var choosing: Choosing
    /// The list of descriptors that all clients use.
    var lists = Lists()
    var doubts = VersionDoubts()
    var schedule = FetchSchedule()
    var rounds = InquiryRounds()
    var clock: ClockWatch
    /// What the log was told last of too little being known.
    private var toldLack: String?

    /// Knows what `store` has kept; `ticker` runs when descriptors have come.
    init(links: Links, network: NetworkFile, store: Store?, ticker: Ticker, log: Logger) throws {
        self.links = links
        self.ticker = ticker
        self.network = network
        self.log = log
        let now = links.time
        let kept = try store?.trustedSnapshot(of: network.id)
        let chain = try SnapshotChain(
            network, kept: kept?.bytes, mark: kept.map { .init(height: $0.height, digest: $0.digest) },
            earlier: try store?.value(SnapshotChain.Earlier.keptName))
        trust = SnapshotTrust(
            chain, nextStranger: links.now + .seconds(.random(in: 43_200...129_600, using: &random)))
        descriptors = DescriptorStore(
            network, snapshot: chain.snapshot, kept: try store?.descriptors() ?? [], at: now)
        guards = Guards(rows: try store?.guards() ?? [], inner: try store?.innerSet() ?? [])
        health = NodeHealth(rows: try store?.health() ?? [], at: now)
        choosing = Choosing(families: AddressFamilies(network, links))
        clock = ClockWatch(running: links.running)
        keeper = DirectoryKeeper(
            store, network: network.id, log: log, guards: guards, descriptors: descriptors, health: health)
        tellOperators()
        if let list = keeper.keptList() { use(list, digest: list.digest) }
    }

    /// Tells the links which operators the trusted snapshot has.
    func tellOperators() {
        // A node of the network file that is staked no more has no say about the time.
        let staked = trust.chain.snapshot.entries.lazy.filter(\.isStaked).map { ($0.node, $0.operatorID) }
        links.setOperators(Dictionary(staked, uniquingKeysWith: { first, _ in first }))
    }

    var loop: Loop { links.loop }
    var now: Instant { links.now }
    var unixTime: UnixTime { links.time }

    /// The wall clock, as build records carry it.
    var time: UnixTime { unixTime }
    /// How many descriptors are held.
    var descriptorCount: Int { descriptors.count }
    /// How many staked nodes the snapshot has.
    var nodeCount: Int { trust.chain.snapshot.stakedCount }
    /// The trusted snapshot.
    var snapshotStatus: SnapshotStatus {
        SnapshotStatus(trust.chain.snapshot, digest: trust.chain.digest, list: lists.used?.list.round)
    }

    // MARK: Time

    /// Fetches and saves what is due; called several times a second.
    func tick(hops: Int) {
        lookAtClock()
        advanceRound()
        if schedule.isUnderWay, rounds.current == nil, now - schedule.since >= Inquiry.patience, !canChoose(hops: hops)
        {
            // A node that has a link and does not answer must not hold this client up; what it brings later is taken all the same.
            rounds.supersede()
            fetched(false)
        }
        if now >= schedule.next { fetch() }
        confirmList()
        if keeper.isDue(at: now) { save() }
        if !canChoose(hops: hops) { refreshSoon() }
        tellLack()
    }

    /// Says in the log that too little is known, once an inquiry has not helped, and that it is enough again.
    private func tellLack() {
        let told = staleness ?? (rounds.failures > 0 ? lack : nil)
        guard (told == nil) != (toldLack == nil) else { return }
        toldLack = told
        if let told { log.warning("\(told)") } else { log.notice("enough of the network is known") }
    }

    /// Descriptors have come.
    func changed() { ticker.soon() }

    /// Asks anew soon, as when nothing works any more.
    func refreshSoon() { schedule.hasten(to: now + Self.anxiousPause, at: now) }

    /// Keeps what has changed: some at a time, or all of it at the end.
    func save(all: Bool = false) {
        keeper.save(guards, descriptors, health, all: all, at: now, time: unixTime)
    }
}

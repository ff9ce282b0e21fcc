internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import Onion
internal import OnionCrypto
internal import Store
internal import Transport
internal import Wire

/// The client's knowledge of the network: snapshot, descriptors, guards and health, kept current over links and in the
/// store.
///
/// It has more members than most types because it connects parts with their own rules to the links.
final class DirectoryClient {
    /// How long a link may take for the first question, and in an inquiry.
    static let firstLinkLimit = TimeSpan.seconds(4)
    /// How long an answer may take.
    static let answerLimit = TimeSpan.seconds(10)
    /// How long the answer to a question about all nodes may take.
    static let longAnswerLimit = TimeSpan.seconds(90)
    /// The pause before the next question while no path can be chosen or built.
    private static let anxiousPause = TimeSpan.seconds(1)

    let links: Links
    private let ticker: Ticker
    let network: NetworkFile
    let log: Logger
    /// How the log tells a problem.
    let sentence: (ClientProblem) -> String
    /// Keeps the state across restarts.
    private(set) var keeper: DirectoryKeeper
    /// The trusted snapshot, and the nodes that have it too.
    var trust: SnapshotTrust
    var descriptors: DescriptorStore
    var guards: Guards
    var health: NodeHealth
    var random = SecureRandom()
    /// The inputs of path selection.
    var choosing: Choosing
    /// The list of descriptors in use, and newer ones.
    var lists = Lists()
    var doubts = VersionDoubts()
    var schedule = FetchSchedule()
    var rounds = InquiryRounds()
    var clock: ClockWatch
    /// Learns which guard has sent a descriptor with another onion key.
    let room: GuardRoom
    /// Whether the log says that too little is known.
    private var hasToldLack = false

    /// Begins with the state kept in `store`; `ticker` runs when descriptors have arrived.
    init(
        links: Links, network: NetworkFile, room: GuardRoom, store: Store?, ticker: Ticker, log: Logger,
        sentence: @escaping (ClientProblem) -> String
    ) throws {
        self.links = links
        self.room = room
        self.ticker = ticker
        self.network = network
        self.log = log
        self.sentence = sentence
        let now = links.time
        let kept = try store?.trustedSnapshot(of: network.id)
        let chain = try SnapshotChain(
            network, kept: kept?.bytes, mark: kept.map { .init(height: $0.height, digest: $0.digest) },
            earlier: try store?.value(SnapshotChain.Earlier.keptName))
        let left = SnapshotTrust.left(kept: try store?.value(SnapshotTrust.keptName))
        trust = SnapshotTrust(
            chain, network,
            nextIndependentCheck: links.now
                + .seconds(left ?? .random(in: SnapshotTrust.checkPause, using: &random)))
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

    /// Tells the links the operator of each staked node.
    func tellOperators() {
        // The time of a node that is no longer staked does not count.
        let staked = trust.chain.snapshot.entries.lazy.filter(\.isStaked).map { ($0.node, $0.operatorID) }
        links.setOperators(Dictionary(staked, uniquingKeysWith: { first, _ in first }))
    }

    var loop: Loop { links.loop }
    var now: Instant { links.now }
    var unixTime: UnixTime { links.time }

    /// The wall clock, as build records carry it.
    var time: UnixTime { unixTime }
    var descriptorCount: Int { descriptors.count }
    /// How many staked nodes the snapshot has.
    var nodeCount: Int { trust.chain.snapshot.stakedCount }
    /// The trusted snapshot, with the round of the list in use.
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
            // A linked node that does not answer must not delay this client; a late answer is still used.
            rounds.supersede()
            fetched(false)
        }
        if now >= schedule.next { fetch() }
        confirmList()
        if keeper.isDue(at: now) { save() }
        if !canChoose(hops: hops) { refreshSoon() }
        tellLack()
    }

    /// Logs that too little is known, after an inquiry has failed, and that enough is known again.
    private func tellLack() {
        let told = staleness ?? (rounds.failures > 0 ? lack : nil)
        guard (told != nil) != hasToldLack else { return }
        hasToldLack = told != nil
        if let told { log.warning("\(sentence(told))") } else { log.notice("enough of the network is known") }
    }

    /// Runs the ticker soon: descriptors have arrived.
    func changed() { ticker.soon() }

    /// Moves the next question forward, for example if no path works any more.
    func refreshSoon() { schedule.hasten(to: now + Self.anxiousPause, at: now) }

    /// Saves changes: some at a time, or all with `all`.
    func save(all: Bool = false) {
        keeper.save(guards, descriptors, health, trust, all: all, at: now, time: unixTime)
    }
}

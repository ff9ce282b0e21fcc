internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Logging
internal import Onion
internal import OnionCrypto
internal import Registry
internal import Store
internal import Watch
internal import Wire

/// Watches other nodes: tests them as a client would, votes if the ledger asks, and warns this node's operator.
///
/// It has more members than most types because it connects the parts that make the decisions.
final class Watching: SnapshotFollower, LedgerFollower {
    private let links: Links
    private let network: NetworkFile
    private let node: NodeID
    private let nodes: KnownNodes
    private let observer: (any RelayObserver)?
    private let log: Logger
    /// How the log tells a problem.
    private let sentence: (RelayProblem) -> String
    let client: TestClient
    let choice: TestChoice
    private let linkBacks: LinkBacks
    private let timing: Tester.Timing
    private var tester: Tester
    /// The tests of others' storage; nil if the network has no store.
    private let storage: StorageDuty?
    private let duty: JuryDuty
    private var durations: [TimeSpan] = []
    private var warning: OperatorWarning
    private var stalls: StallWatch
    private var reports: PeerReports
    private var overdue: Overdue
    private var isClosed = false

    /// Watches `nodes`.
    ///
    /// Reports go to `ledger` if there is one, and `observer` gets the results of tests.
    init(
        links: Links, network: NetworkFile, identity: LinkIdentity, nodes: KnownNodes, ledger: LedgerService?,
        observer: (any RelayObserver)?, store: Store?, log: Logger, sentence: @escaping (RelayProblem) -> String
    ) throws {
        self.links = links
        self.network = network
        self.nodes = nodes
        self.observer = observer
        self.log = log
        self.sentence = sentence
        node = NodeID(identity.nodeID)
        client = try TestClient(on: links.loop, network: network)
        let now = links.now
        timing = Tester.Timing(epochSeconds: network.epochSeconds)
        choice = TestChoice(
            links: links, network: network, node: node, nodes: nodes, client: client, interval: timing.interval)
        linkBacks = LinkBacks(links: links, nodes: nodes, client: client)
        tester = Tester(timing: timing, seed: SecureRandom.u64(), now: now + timing.interval)
        duty = JuryDuty(
            links: links, network: network.id, identity: identity, nodes: nodes, ledger: ledger, log: log,
            timing: timing, blockSeconds: network.ledger?.blockSeconds ?? 0)
        storage =
            network.swarms.hasStore
            ? try StorageDuty(
                links: links, network: network, node: node, nodes: nodes, choice: choice, ledger: ledger, store: store,
                log: log)
            : nil
        warning = OperatorWarning(at: now)
        stalls = StallWatch(at: now)
        reports = PeerReports(interval: observer?.repeatInterval ?? .seconds(120), now: now)
        overdue = Overdue(epochSeconds: network.epochSeconds)
        watchSnapshot()
        if let ledger { follow(ledger.state) }
    }

    private var now: Instant { links.now }

    // MARK: The watched nodes

    func follow(_ snapshot: Snapshot, digest: Bytes32) { watchSnapshot() }

    private var snapshot: Snapshot { nodes.snapshot }

    /// Watches the nodes of the snapshot, if there is no ledger.
    private func watchSnapshot() {
        if duty.state == nil { watch(snapshot.entries.lazy.filter(\.isListed).map(\.node)) }
    }

    /// Continues with a newer state of the ledger.
    func follow(_ state: RegistryState) {
        for (id, node) in state.nodes where node.standing == .active {
            guard let before = duty.state?.nodes[id], before.standing == .decommissioned else { continue }
            // A suspended node holds no shards, so the results of before are out of date when it is back.
            storage?.returned(id)
            if before.isInMaintenance { tester.returned(id, now: now) }
        }
        duty.follow(state)
        watch(state.nodes.lazy.filter { $0.value.standing != .open }.map(\.key))
    }

    private func watch(_ nodes: some Sequence<NodeID>) {
        let others = nodes.filter { $0 != node }.sorted()
        tester.follow(others)
        overdue.follow(others, now: now)
        storage?.watch(others, by: snapshot)
        let records = tester.records
        duty.keep { records[$0] != nil }
    }

    // MARK: Tests

    /// Begins tests that are due, and acts on results.
    ///
    /// To be called once a second or more often.
    func tick() {
        guard !isClosed else { return }
        if stalls.tick(at: now) { storage?.void() }
        while let next = tester.next(now) { test(next) }
        if let observer {
            for node in reports.due(tester, among: isActive, now: now) { observer.tested(node, passed: false) }
        }
        storage?.tick { [weak self] in
            self?.serves($0, since: $1) ?? false
        } testPaths: { [weak self] in
            if let self { tester.expedite($0, for: node, now: now) }
        }
        consider()
        duty.report(tester)
        duty.askBack()
        tellWarning()
    }

    /// Tests `tested` over a path, as the first hop, or as a middle, which cannot see this node.
    private func test(_ tested: NodeID) {
        guard let own = choice.hop(tested) else {
            // A client cannot use a node that has published no descriptor for so long.
            guard isOverdue(tested) else { return tester.skipped(tested, now: now) }
            return tester.finished(tested, .failed, at: .first(mayHide: false), now: now)
        }
        let chosen = choice.path(testing: tested, at: own.addresses) { tester.isToBeHidden(tested) }
        guard let (place, path) = chosen else {
            guard isUnproven(tested, at: own.addresses) else { return tester.skipped(tested, now: now) }
            return tester.finished(tested, .failed, at: .middle, now: now)
        }
        let hops = path.compactMap(choice.hop)
        guard hops.count == path.count, client.reaches(hops[0].addresses) else {
            return tester.skipped(tested, now: now)
        }
        let wantsCapacity = tester.wantsCapacity(of: tested, now: now)
        let began = now
        client.test(hops, place: place == .middle ? 1 : 0, wantsCapacity: wantsCapacity) {
            [weak self] outcome, duration in
            guard let self else { return }
            guard outcome == .unclear, place != .middle, !isClosed, client.reaches(own.addresses) else {
                return finished(tested, outcome, place, path, duration, since: began)
            }
            // A fault after the first hop may be any hop's. A path over the first hop alone shows whether that hop
            // serves.
            client.test([own], place: 0, wantsCapacity: false) { [weak self] alone, _ in
                guard let self else { return }
                let servesAlone = if case .passed = alone { true } else { false }
                let told = servesAlone ? outcome : alone
                finished(tested, told, place, path, duration, servesAlone: servesAlone, since: began)
            }
        }
    }

    /// Whether a node without a descriptor should have published one, which should be here.
    private func isOverdue(_ node: NodeID) -> Bool {
        var since: UnixTime?
        if let state = duty.state {
            guard let entry = state.nodes[node] else { return false }
            since = UnixTime(seconds: entry.activeSince)
        }
        return overdue.isMissing(node, activeSince: since, at: links.time, now: now)
    }

    /// Whether a staked node to which this machine has no route has passed no test for two epochs, and so few others
    /// can stand beside it that no score could ever show that it does not serve.
    ///
    /// Such a node has to show that it serves. To be called after each test that it did not pass.
    private func isUnproven(_ node: NodeID, at addresses: [Endpoint]) -> Bool {
        guard snapshot.isStaked(node), !client.reaches(addresses), !canJudgeAsMiddle(node) else {
            overdue.proven(node)
            return false
        }
        return overdue.isUnprovenLong(node, now: now)
    }

    private func canJudgeAsMiddle(_ node: NodeID) -> Bool {
        let beside = choice.neighbours(of: node)
        let exits = Self.others(than: snapshot.entry(of: node)?.operatorID, among: choice.exitOperators)
        return Tester.canJudge(over: beside.nodes, before: beside.operators, of: exits)
    }

    private func finished(
        _ tested: NodeID, _ found: TestOutcome, _ place: TestPlace, _ path: [NodeID], _ duration: TimeSpan,
        servesAlone: Bool = false, since began: Instant
    ) {
        guard !stalls.voids(testSince: began, at: now) else { return tester.skipped(tested, now: now) }
        let wasDead = tester.isDead(tested, now: now)
        let owner = path.last.flatMap { snapshot.entry(of: $0)?.operatorID }
        var outcome = found
        if Self.isPass(found) {
            overdue.proven(tested)
        } else if place == .middle, let addresses = nodes.descriptor(of: tested)?.descriptor.addresses,
            isUnproven(tested, at: addresses)
        {
            outcome = .failed
        }
        tester.exitOperators = Self.others(than: snapshot.entry(of: tested)?.operatorID, among: choice.exitOperators)
        tester.finished(
            tested, outcome, at: place, over: path.filter { $0 != tested }, before: owner, servesAlone: servesAlone,
            now: now)
        switch outcome {
        case .passed:
            choice.health.succeeded(path, at: links.time)
            if duration > .zero {
                if durations.count >= 100 { durations.removeFirst() }
                durations.append(duration)
            }
        case .passedOn: break
        case .failed: choice.health.unreachable(tested, at: links.time)
        case .refused: choice.health.refused(by: tested, next: nil, reason: .overloaded, at: links.time)
        case .unclear: choice.health.timedOut(path, at: links.time)
        }
        guard !isClosed else { return }
        if !wasDead, tester.isDead(tested, now: now), !tester.isBlind(among: isActive, now: now) {
            log.notice("a node does not serve", metadata: ["dead": "\(tester.dead(now).count)"])
        }
        if let observer,
            let serves = reports.result(
                of: tested, isPass: Self.isPass(outcome), by: tester, among: isActive, now: now)
        {
            observer.tested(tested, passed: serves)
        }
        consider()
    }

    /// Has this node's part in the quorums act on the results; those of storage tests count if the network says so.
    private func consider() {
        duty.consider(tester, storage: network.swarms.storageVerdicts ? storage?.tester : nil)
    }

    /// The number of operators whose exits can follow a node of `owner`: a path never has two nodes of one operator.
    static func others(than owner: Bytes32?, among exits: Set<Bytes32>) -> Int {
        exits.count - (owner.map(exits.contains) == true ? 1 : 0)
    }

    private static func isPass(_ outcome: TestOutcome) -> Bool {
        switch outcome {
        case .passed, .passedOn: true
        case .failed, .refused, .unclear: false
        }
    }

    private func isActive(_ node: NodeID) -> Bool {
        duty.state?.nodes[node]?.standing == .active || snapshot.isStaked(node)
    }

    // MARK: Messages

    /// Takes another node's request to test a node, or its notice of a ballot about this node; nil refuses.
    func suspect(_ body: [UInt8], from peer: NodeID) -> [UInt8]? {
        guard let ballot = try? Ballot(decoding: body.rawSpan) else { return nil }
        if ballot.node == node {
            guard ballot.verdict != .recommission, let sender = duty.state?.nodes[peer], sender.standing == .active
            else { return [] }
            warning.suspect(by: sender.operatorAccount.key, at: now)
        } else if duty.isAsked(ballot, by: peer) {
            expedite(ballot.node, for: peer)
        }
        return []
    }

    /// Takes votes from another member of a quorum; returns the votes that are held here, or nil to refuse.
    func votes(_ body: [UInt8], from peer: NodeID) -> [UInt8]? {
        guard let votes = try? BallotVotes(decoding: body.rawSpan),
            let taken = duty.take(votes, from: peer)
        else { return nil }
        if taken.isAsked { expedite(votes.ballot.node, for: peer) }
        return taken.answer.encoded
    }

    /// Whether a node passes the tests of paths, without which its storage is not tested; one never seen to is tested.
    ///
    /// With a moment, it must have passed one since then.
    private func serves(_ node: NodeID, since moment: Instant?) -> Bool {
        let pass = tester.records[node]?.lastPass
        if pass == nil { tester.expedite(node, for: self.node, now: now) }
        guard tester.serves(node), let moment else { return tester.serves(node) }
        return pass.map { $0 > moment } ?? false
    }

    private func expedite(_ node: NodeID, for peer: NodeID) {
        tester.expedite(node, for: peer, now: now)
        storage?.expedite(node, for: peer)
    }

    /// Answers a node that asks from `source` whether it can be reached; nil refuses.
    func linkBack(from peer: NodeID, at source: IPAddress, _ answer: @escaping ([UInt8]?) -> Void) {
        linkBacks.answer(peer, at: source, answer)
    }

    // MARK: The operator

    /// Notes that a client has made a link; a test by another node does the same.
    func clientCame() { warning.clientCame(at: now) }

    /// The standing of this node in the ledger, or in the snapshot if there is no ledger.
    private var standing: OperatorWarning.Standing {
        if let own = duty.own {
            if own.standing == .decommissioned { return own.isInMaintenance ? .inMaintenance : .decommissioned }
        } else if duty.state != nil {
            return .unstaked
        } else if snapshot.entry(of: node)?.state == .suspended {
            return .decommissioned
        }
        return snapshot.isStaked(node) ? .staked : .unstaked
    }

    /// The warning for the operator; nil if there is none.
    var warningKind: OperatorWarning.Kind? {
        warning.kind(
            standing, others: tester.records.count, interval: timing.interval,
            mayLose: storage != nil && network.swarms.storageVerdicts, at: now)
    }

    private func tellWarning() {
        let kind = warningKind
        guard warning.isNews(kind) else { return }
        // Other nodes do not test a node that is in maintenance or not staked.
        if let kind {
            log.warning("\(sentence(.warning(kind)))")
        } else if standing == .staked {
            log.notice("the node is tested again and passes")
        }
    }

    /// The results of watching.
    var status: WatchingStatus {
        var status = WatchingStatus()
        status.watched = tester.records.count
        status.dead = tester.dead(now).count
        (status.tests, status.passed, status.failed) = (tester.begun, tester.passed, tester.failed)
        status.durations = durations.sorted()
        (status.votes, status.verdicts) = duty.counts
        status.sinceClient = warning.silence(at: now)
        status.storage = storage?.status
        return status
    }

    /// The results for each node, by id.
    var nodeTests: [NodeTest] {
        let now = now
        return tester.records.sorted { $0.key < $1.key }.map { node, record in
            NodeTest(
                node: node, sinceTest: now - record.lastTest, sincePass: record.lastPass.map { now - $0 },
                marks: record.marks, capacity: record.capacity,
                storage: storage?.tester.records[node].map { .init(sinceTest: now - $0.lastTest, marks: $0.marks) })
        }
    }

    /// Ends all tests.
    func close(completion: @escaping () -> Void) {
        isClosed = true
        var left = storage == nil ? 1 : 2
        func closed() {
            left -= 1
            if left == 0 { completion() }
        }
        client.close(completion: closed)
        storage?.close(completion: closed)
    }
}

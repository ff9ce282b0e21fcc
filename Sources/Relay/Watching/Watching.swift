internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Logging
internal import Onion
internal import OnionCrypto
internal import Registry
internal import Watch
internal import Wire

/// Watches other nodes: tests them as a client would, votes where the ledger asks, and warns its own operator.
final class Watching: SnapshotFollower, LedgerFollower {
    /// How many intervals without a client are a reason to warn: that none comes by chance is less likely than one in a million.
    private static let quietIntervals: Int64 = 40
    /// How many reasons to warn by others are remembered, and for how long.
    private static let suspicionTime = TimeSpan.seconds(600)
    /// A process that did nothing for so long tells nobody's silence from its own.
    private static let stallTime = TimeSpan.seconds(5)

    private let links: Links
    private let network: NetworkFile
    private let node: NodeID
    private let identity: LinkIdentity
    private let nodes: KnownNodes
    private let ledger: LedgerService?
    private let observer: (any RelayObserver)?
    private let log: Logger
    let client: TestClient
    private let choice: TestChoice
    private let linkBacks: LinkBacks
    private let timing: Tester.Timing
    private var tester: Tester
    private var jury: Jury
    private var state: RegistryState?
    private var durations: [TimeSpan] = []
    private var reported: [NodeID: Instant] = [:]
    private var nextReport: Instant
    private var lastClient: Instant
    private var suspected: (at: Instant, count: Int)?
    private var toldWarning: String?
    private var isClosed = false
    /// When ``tick()`` was called last, and when it was found that this process had stood still before.
    private var lastTick: Instant
    private var lastStall: Instant?
    /// When the ledger is asked again to take this node back.
    private var nextReturn: Instant

    /// The watching of `nodes`, whose reports go to `ledger` where there is one; `observer` hears of what tests come to.
    init(
        links: Links, network: NetworkFile, identity: LinkIdentity, nodes: KnownNodes, ledger: LedgerService?,
        observer: (any RelayObserver)?, log: Logger
    ) throws {
        self.links = links
        self.network = network
        self.identity = identity
        self.nodes = nodes
        self.ledger = ledger
        self.observer = observer
        self.log = log
        node = NodeID(identity.nodeID)
        client = try TestClient(on: links.loop, network: network)
        let now = links.now
        timing = Tester.Timing(epochSeconds: network.epochSeconds)
        choice = TestChoice(
            links: links, network: network, node: node, nodes: nodes, client: client, interval: timing.interval)
        linkBacks = LinkBacks(links: links, nodes: nodes, client: client)
        tester = Tester(timing: timing, seed: SecureRandom.u64(), now: now + timing.interval)
        jury = Jury(node: node, patience: max(.seconds(4), timing.interval))
        nextReport = now + timing.measureAfter
        lastClient = now
        lastTick = now
        nextReturn = now
        watchSnapshot()
        if let ledger { follow(ledger.state) }
    }

    private var now: Instant { links.now }

    // MARK: Whom to watch

    func follow(_ snapshot: Snapshot, digest: Bytes32) { watchSnapshot() }

    private var snapshot: Snapshot { nodes.snapshot }

    /// Watches the nodes of the snapshot, where there is no ledger.
    private func watchSnapshot() {
        if state == nil { watch(snapshot.entries.lazy.filter(\.isListed).map(\.node)) }
    }

    /// Goes on with a newer state of the ledger.
    func follow(_ state: RegistryState) {
        for (id, node) in state.nodes where node.standing == .active && self.state?.nodes[id]?.isInMaintenance == true {
            tester.returned(id, now: now)
        }
        self.state = state
        jury.follow(state)
        watch(state.nodes.lazy.filter { $0.value.standing != .open }.map(\.key))
    }

    private func watch(_ nodes: some Sequence<NodeID>) {
        tester.follow(nodes.filter { $0 != node }.sorted())
        let records = tester.records
        reported = reported.filter { records[$0.key] != nil }
    }

    // MARK: Tests

    /// Begins tests that are due, and draws conclusions; to be called once a second or more often.
    func tick() {
        guard !isClosed else { return }
        if isStalled { lastStall = now }
        lastTick = now
        while let next = tester.next(now) { test(next) }
        perform(jury.consider(tester, now: now))
        report()
        askBack()
        tellWarning()
    }

    /// Builds a path with `tested` in it: at its beginning, or in its middle, where it sees nothing of this node.
    private func test(_ tested: NodeID) {
        guard let own = choice.hop(tested) else {
            // Who has published nothing for so long cannot be used by anyone.
            guard isOverdue(tested) else { return tester.skipped(tested, now: now) }
            return tester.finished(tested, .failed, at: .first(mayHide: false), now: now)
        }
        let chosen = choice.path(testing: tested, at: own.addresses) { tester.isToBeHidden(tested) }
        guard let (place, path) = chosen, case let hops = path.compactMap(choice.hop), hops.count == path.count,
            client.reaches(hops[0].addresses)
        else { return tester.skipped(tested, now: now) }
        let wantsCapacity = tester.wantsCapacity(of: tested, now: now)
        let began = now
        client.test(hops, place: place == .middle ? 1 : 0, wantsCapacity: wantsCapacity) {
            [weak self] outcome, duration in
            guard let self else { return }
            guard outcome == .unclear, place != .middle, !isClosed, client.reaches(own.addresses) else {
                return finished(tested, outcome, place, path, duration, since: began)
            }
            // What goes wrong behind the first hop is nobody's fault for certain: a path of that hop alone tells.
            client.test([own], place: 0, wantsCapacity: false) { [weak self] alone, _ in
                guard let self else { return }
                let servesAlone = if case .passed = alone { true } else { false }
                let told = servesAlone ? outcome : alone
                finished(tested, told, place, path, duration, servesAlone: servesAlone, since: began)
            }
        }
    }

    /// Whether this process has stood still since the last tick.
    private var isStalled: Bool { now - lastTick > Self.stallTime }

    /// A staked node without a descriptor is given two epochs to publish one.
    private func isOverdue(_ node: NodeID) -> Bool {
        guard let since = state?.nodes[node]?.activeSince else { return false }
        return links.time.seconds > since + 2 * network.epochSeconds + 10
    }

    private func finished(
        _ tested: NodeID, _ outcome: TestOutcome, _ place: TestPlace, _ path: [NodeID], _ duration: TimeSpan,
        servesAlone: Bool = false, since began: Instant
    ) {
        guard !isStalled, lastStall.map({ $0 < began }) ?? true else { return tester.skipped(tested, now: now) }
        let wasDead = tester.isDead(tested, now: now)
        let owner = path.last.flatMap { snapshot.entry(of: $0)?.operatorID }
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
            observer?.tested(tested, passed: true)
        case .passedOn: observer?.tested(tested, passed: true)
        case .failed:
            choice.health.unreachable(tested, at: links.time)
            if !wasDead, tester.isDead(tested, now: now), !isBlind {
                log.notice("a node does not serve", metadata: ["dead": "\(tester.dead(now).count)"])
                observer?.tested(tested, passed: false)
            }
        case .refused: choice.health.refused(by: tested, next: nil, reason: .overloaded, at: links.time)
        case .unclear: choice.health.timedOut(path, at: links.time)
        }
        guard !isClosed else { return }
        perform(jury.consider(tester, now: now))
    }

    /// Of how many operators a node of `owner` can have the exits behind it: no path has two nodes of one operator.
    static func others(than owner: Bytes32?, among exits: Set<Bytes32>) -> Int {
        exits.count - (owner.map(exits.contains) == true ? 1 : 0)
    }

    private var isBlind: Bool {
        tester.isBlind(
            among: { [snapshot, state] in state?.nodes[$0]?.standing == .active || snapshot.isStaked($0) }, now: now)
    }

    // MARK: The jury

    private func submit(_ operation: RegistryOperation) {
        ledger?.submit(operation) { [log] in log.info("an operation of this node: \($0)") }
    }

    private func perform(_ actions: [Jury.Action]) {
        for action in actions {
            switch action {
            case .ask(let ballot, let judges):
                let verb = ballot.verdict == .recommission ? "serves again" : "is to be judged"
                log.info("a node \(verb)", metadata: ["height": "\(ballot.height)"])
                for judge in judges + [ballot.node] { send(.suspect, ballot.encoded, to: judge) }
            case .vote(let ballot): vote(ballot)
            case .spread(let votes, let judges): for judge in judges { spread(votes, to: judge) }
            case .submit(let action): submit(RegistryOperation(unsigned: action, network: network.id))
            }
        }
    }

    private func vote(_ ballot: Ballot) {
        guard let block = state?.quorums.last(where: { $0.height == ballot.height })?.block else { return }
        let message = RegistryOperation.ballot(
            ballot.verdict, on: ballot.node, height: ballot.height, block: block, network: network.id)
        perform(jury.voted(ballot, signature: identity.signingKey.sign(message.rawSpan), now: now))
    }

    private func send(_ message: WatchMessage, _ body: [UInt8], to peer: NodeID) {
        guard peer != node, let addresses = nodes.addresses(of: peer) else { return }
        links.link(to: peer, at: addresses) { [weak self] result in
            if let self, case .success(let link) = result { links.send(on: link, message, body: body) }
        }
    }

    private func spread(_ votes: BallotVotes, to peer: NodeID) {
        guard peer != node, let addresses = nodes.addresses(of: peer) else { return }
        links.link(to: peer, at: addresses) { [weak self] result in
            guard let self, case .success(let link) = result else { return }
            links.request(on: link, WatchMessage.votes, body: votes.encoded) { [weak self] result in
                guard let self, case .success(let body) = result,
                    let answer = try? BallotVotes(decoding: body.rawSpan), answer.ballot == votes.ballot,
                    let taken = jury.take(answer, from: peer, now: now)
                else { return }
                perform(taken.actions)
            }
        }
    }

    /// Comes back by itself where fewer nodes are active than can judge whether this one serves.
    private func askBack() {
        guard now >= nextReturn, let state, let own = state.nodes[node], own.standing == .decommissioned,
            !own.isInMaintenance, state.fullNodes.active < Int(state.parameters.leastActive),
            state.height > own.changedHeight
        else { return }
        nextReturn = now + timing.interval * 4
        submit(
            RegistryOperation(
                maintaining: identity.signingKey, seconds: 0, height: state.height, network: network.id))
    }

    /// Reports what was measured, where this node is in the newest quorum.
    private func report() {
        guard now >= nextReport, let found = jury.measurements(of: tester, reported: reported) else { return }
        nextReport = now + max(timing.interval, .seconds(1))
        for measurement in found.measured { reported[measurement.node] = now }
        submit(
            RegistryOperation(
                reporting: found.measured, height: found.height, network: network.id, nodeKey: identity.signingKey))
    }

    // MARK: Messages

    /// Another node asks this one to look at a node, or tells it that it is looked at itself; nil is to be refused.
    func suspect(_ body: [UInt8], from peer: NodeID) -> [UInt8]? {
        guard let ballot = try? Ballot(decoding: body.rawSpan) else { return nil }
        if ballot.node == node {
            if ballot.verdict != .recommission {
                let count = suspected.map { now - $0.at <= Self.suspicionTime ? $0.count : 0 } ?? 0
                suspected = (now, count + 1)
            }
        } else if jury.asked(ballot, from: peer, now: now) {
            tester.hurry(ballot.node, for: peer, now: now)
        }
        return []
    }

    /// Votes of another member of a quorum; the answer is those that are held here, nil is to be refused.
    func votes(_ body: [UInt8], from peer: NodeID) -> [UInt8]? {
        guard let votes = try? BallotVotes(decoding: body.rawSpan),
            let taken = jury.take(votes, from: peer, now: now)
        else { return nil }
        if taken.isAsked { tester.hurry(votes.ballot.node, for: peer, now: now) }
        perform(taken.actions)
        return taken.answer.encoded
    }

    /// Answers a node that asks whether it can be reached; nil is to be refused.
    func linkBack(from peer: NodeID, _ answer: @escaping ([UInt8]?) -> Void) { linkBacks.answer(peer, answer) }

    // MARK: The operator

    /// A client has made a link, as every test does.
    func clientCame() { lastClient = now }

    /// What the operator must know, in one sentence.
    private var warning: String? {
        let own = state?.nodes[node]
        if let own, own.standing == .decommissioned {
            // What its operator has asked for is no reason to warn.
            return own.isInMaintenance ? nil : Self.decommissioned
        }
        if state == nil, snapshot.entry(of: node)?.state == .suspended { return Self.decommissioned }
        let isStaked = snapshot.isStaked(node) && (state == nil || own != nil)
        if isStaked, let suspected, suspected.count >= 2, now - suspected.at <= Self.suspicionTime {
            return "Other nodes report that this one does not serve; run 'tunic relay --check'."
        }
        return Self.unreached(
            for: now - lastClient, isStaked: isStaked, others: tester.records.count, interval: timing.interval)
    }

    /// What is said where no client and no test has come for so long, by a node that has tested so many others.
    ///
    /// Others do not test a node that is not staked.
    static func unreached(for silence: TimeSpan, isStaked: Bool, others: Int, interval: TimeSpan) -> String? {
        guard isStaked, others >= 3, silence > interval * quietIntervals else { return nil }
        return "No client and no test of another node has come for \(Int(silence.inSeconds)) s: this node may not be "
            + "reachable; see that its UDP port is open, and run 'tunic relay --check'."
    }

    private static let decommissioned =
        "This node is decommissioned: others found that it did not serve. It is used again when it passes their tests; see "
        + "that its UDP port can be reached, and run 'tunic relay --check'."

    private func tellWarning() {
        let warning = warning
        let kind = warning.map { String($0.prefix(24)) }
        guard kind != toldWarning else { return }
        toldWarning = kind
        if let warning { log.warning("\(warning)") } else { log.notice("the node is tested again and passes") }
    }

    /// What it has come to.
    var status: WatchingStatus {
        var status = WatchingStatus()
        status.watched = tester.records.count
        status.dead = tester.dead(now).count
        (status.tests, status.passed, status.failed) = (tester.begun, tester.passed, tester.failed)
        status.durations = durations.sorted()
        (status.votes, status.verdicts) = (jury.cast, jury.submitted)
        status.sinceClient = now - lastClient
        status.warning = warning
        return status
    }

    /// What is known of each node, by id.
    var nodeTests: [NodeTest] {
        let now = now
        return tester.records.sorted { $0.key < $1.key }.map { node, record in
            NodeTest(
                node: node, sinceTest: now - record.lastTest, sincePass: record.lastPass.map { now - $0 },
                marks: record.marks, capacity: record.capacity)
        }
    }

    /// Ends all tests.
    func close(completion: @escaping () -> Void) {
        isClosed = true
        client.close(completion: completion)
    }
}

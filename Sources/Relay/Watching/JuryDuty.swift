internal import EventLoop
internal import Link
internal import Links
internal import Logging
internal import OnionCrypto
internal import Registry
internal import Watch
internal import Wire

/// This node's part in the ledger's quorums: it votes, exchanges votes with the other members, and submits results.
///
/// ``Jury`` decides; this type acts over links and through the ledger.
final class JuryDuty {
    private let links: Links
    private let network: Bytes32
    private let identity: LinkIdentity
    private let node: NodeID
    private let nodes: KnownNodes
    private let ledger: LedgerService?
    private let log: Logger
    private let interval: TimeSpan
    private var jury: Jury
    /// The newest state of the ledger; nil if there is no ledger.
    private(set) var state: RegistryState?
    /// The time at which each node's measurements were last reported, and the time of the next report.
    private var reported: [NodeID: Instant] = [:]
    private var nextReport: Instant
    /// The time from which the ledger may be asked again to make this node active.
    private var nextReturn: Instant

    /// Results go to `ledger`, which makes a block every `blockSeconds`.
    ///
    /// The node tests others at the intervals of `timing`.
    init(
        links: Links, network: Bytes32, identity: LinkIdentity, nodes: KnownNodes, ledger: LedgerService?, log: Logger,
        timing: Tester.Timing, blockSeconds: UInt64
    ) {
        self.links = links
        self.network = network
        self.identity = identity
        self.nodes = nodes
        self.ledger = ledger
        self.log = log
        node = NodeID(identity.nodeID)
        interval = timing.interval
        jury = Jury(
            node: node, patience: max(.seconds(4), timing.interval),
            silence: Jury.silence(blockSeconds: blockSeconds))
        nextReport = links.now + timing.measureAfter
        nextReturn = links.now
    }

    private var now: Instant { links.now }
    /// The number of votes that this node has cast, and of verdicts that it has submitted.
    var counts: (votes: UInt64, verdicts: UInt64) { (jury.cast, jury.submitted) }
    /// This node in the ledger; nil if it is not registered.
    var own: RegisteredNode? { state?.nodes[node] }

    /// Continues with a newer state of the ledger.
    func follow(_ state: RegistryState) {
        self.state = state
        jury.follow(state, now: now)
    }

    /// Forgets the reports about nodes that are not watched any more.
    func keep(_ isWatched: (NodeID) -> Bool) { reported = reported.filter { isWatched($0.key) } }

    /// Acts on the results of `tester`, and of storage tests where these count.
    func consider(_ tester: Tester, storage: Tester?) {
        perform(jury.consider(tester, storage: storage, now: now))
    }

    /// Takes another node's request to test a node; returns false if this node has no vote on it.
    func isAsked(_ ballot: Ballot, by peer: NodeID) -> Bool { jury.asked(ballot, from: peer, now: now) }

    /// Takes votes from another member of a quorum; nil if they are refused.
    ///
    /// Returns the votes that are held here, and whether this node is asked to test the node.
    func take(_ votes: BallotVotes, from peer: NodeID) -> (answer: BallotVotes, isAsked: Bool)? {
        guard let taken = jury.take(votes, from: peer, now: now) else { return nil }
        perform(taken.actions)
        return (taken.answer, taken.isAsked)
    }

    private func submit(_ operation: RegistryOperation) {
        ledger?.submit(operation) { [log] in log.info("the ledger's answer to this node's operation: \($0)") }
    }

    private func perform(_ actions: [Jury.Action]) {
        for action in actions {
            switch action {
            case .ask(let ballot, let judges):
                let verb = ballot.verdict == .recommission ? "serves again" : "is to be judged"
                log.info("a node \(verb)", metadata: ["height": "\(ballot.height)"])
                for judge in judges + [ballot.node] { ask(ballot, of: judge) }
            case .vote(let ballot): vote(ballot)
            case .spread(let votes, let judges): for judge in judges { spread(votes, to: judge) }
            case .submit(let action): submit(RegistryOperation(unsigned: action, network: network))
            }
        }
    }

    private func vote(_ ballot: Ballot) {
        guard let block = state?.quorums.last(where: { $0.height == ballot.height })?.block else { return }
        let message = RegistryOperation.ballot(
            ballot.verdict, on: ballot.node, height: ballot.height, block: block, network: network)
        perform(jury.voted(ballot, signature: identity.signingKey.sign(message.rawSpan), now: now))
    }

    private func ask(_ ballot: Ballot, of peer: NodeID) {
        guard peer != node, let addresses = nodes.addresses(of: peer) else { return }
        links.link(to: peer, at: addresses) { [weak self] result in
            guard let self, case .success(let link) = result else { return }
            links.send(on: link, WatchMessage.suspect, body: ballot.encoded)
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

    /// Asks the ledger to make this node active again, if too few nodes are active to judge it.
    func askBack() {
        guard now >= nextReturn, let state, let own, own.standing == .decommissioned, !own.isInMaintenance,
            state.fullNodes.active < Int(state.parameters.leastActive), state.height > own.changedHeight
        else { return }
        nextReturn = now + interval * 4
        submit(
            RegistryOperation(maintaining: identity.signingKey, seconds: 0, height: state.height, network: network))
    }

    /// Reports the measurements of `tester`, if this node is in the newest quorum.
    func report(_ tester: Tester) {
        guard now >= nextReport, let found = jury.measurements(of: tester, reported: reported) else { return }
        nextReport = now + max(interval, .seconds(1))
        for measurement in found.measured { reported[measurement.node] = now }
        submit(
            RegistryOperation(
                reporting: found.measured, height: found.height, network: network, nodeKey: identity.signingKey))
    }
}

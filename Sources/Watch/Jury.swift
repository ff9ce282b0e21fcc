internal import OnionCrypto
public import Registry
public import Wire

/// A node's part in judging others: it asks quorums to test nodes, votes, and collects votes.
///
/// No node votes on hearsay. A node that finds another one dead asks the quorum of the newest height to test that node.
/// A member votes by its own tests only, and tells the other members. A member with enough votes hands in the verdict.
/// As long as fewer members lie than a verdict needs votes, no serving node is decommissioned.
public struct Jury: Sendable {
    /// A step for the caller.
    public enum Action: Hashable, Sendable {
        /// Ask the members `judges` to test the ballot's node for themselves.
        case ask(Ballot, [NodeID])
        /// Sign the ballot, and call ``voted(_:signature:)``.
        case vote(Ballot)
        /// Send the votes to the other members.
        case spread(BallotVotes, [NodeID])
        /// Hand in the verdict.
        case submit(RegistryOperation.Action)
    }

    /// The most ballots of others that are kept, and the most of one sender.
    public static let ballotLimit = 512, ballotsPerSender = 16
    /// The most ballots kept for this node's own findings and votes.
    public static let ownLimit = 512
    /// For how many heights a ballot of another node is kept without a vote.
    private static let voteless: UInt64 = 2
    /// How long to wait before repeating a request, a spread or a verdict.
    private let patience: TimeSpan
    /// For how long there may be no newer block before this node accuses nobody.
    private let silence: TimeSpan

    /// A state of the registry, and values that every member derives from it.
    final class View: Sendable {
        let state: RegistryState
        let active: Set<NodeID>
        let decommissioned: Set<NodeID>
        /// The votes that a verdict by any of the quorums needs at least.
        let fewestVotes: Int
        /// Whether more nodes are active than the floor.
        let isAboveFloor: Bool

        init(_ state: RegistryState) {
            self.state = state
            active = Set(state.nodes.lazy.filter { $0.value.standing == .active }.map(\.key))
            decommissioned = Set(state.nodes.lazy.filter { $0.value.standing == .decommissioned }.map(\.key))
            // A node of a quorum is not among its own judges.
            let smallest = state.quorums.lazy.map(\.nodes.count).min() ?? 0
            fewestVotes = max(1, state.parameters.votesNeeded(ofQuorum: max(1, smallest) - 1))
            isAboveFloor = active.count > state.parameters.floor(of: active.count + decommissioned.count)
        }
    }

    private let node: NodeID
    private var view: View?
    /// When the newest block came.
    private var newestAt = Instant(nanoseconds: 0)
    /// When this node was last not allowed to accuse by each of its testers: too many tests failed, no more nodes were
    /// active than the floor, or no newer block had come for long.
    private var lastMutes: [Instant?] = [nil, nil]
    private var cases = Cases()
    /// The number of cases that each other node opened.
    private var shares = Shares<NodeID>(capacity: Self.ballotLimit, most: Self.ballotsPerSender)
    /// The nodes of the registry that sent a wrong vote at this height.
    private var liars: Set<NodeID> = []
    /// When to ask a quorum about the node again.
    private var nextAsk: [NodeID: Instant] = [:]
    /// Votes that this node has cast, and verdicts that it has handed in.
    public private(set) var cast: UInt64 = 0, submitted: UInt64 = 0

    /// The part of `node`; it repeats a step after `patience` at the earliest, and accuses nobody after `silence`
    /// without a newer block.
    ///
    /// Whoever hears of no block may be cut off with others, and the last quorum may lie among them.
    public init(node: NodeID, patience: TimeSpan, silence: TimeSpan) {
        self.node = node
        self.patience = patience
        self.silence = silence
    }

    /// How long the ledger may be silent where it makes a block each `blockSeconds`: the authorities of some slots may
    /// be down.
    public static func silence(blockSeconds: UInt64) -> TimeSpan {
        .seconds(max(10, Int64(min(blockSeconds, 86_400)) * 5))
    }

    /// How many ballots of others are kept, and how many of this node's own.
    public var counts: (others: Int, own: Int) { (shares.count, cases.count - shares.count) }

    /// Continues with a newer state of the registry; removes ballots that can no longer be judged, or that got no
    /// votes.
    public mutating func follow(_ state: RegistryState, now: Instant) { follow(View(state), now: now) }

    mutating func follow(_ view: View, now: Instant) {
        if self.view.map({ $0.state.height < view.state.height }) ?? true {
            newestAt = now
            liars = []
        }
        self.view = view
        let state = view.state
        let forgotten = state.height < Self.voteless ? nil : state.height - Self.voteless
        let over = cases.over(in: state, openedUntil: forgotten) { Self.isOpen($0, on: $1, state) }
        for ballot in over { close(ballot) }
        if nextAsk.keys.contains(where: { state.nodes[$0] == nil }) {
            nextAsk = nextAsk.filter { state.nodes[$0.key] != nil }
        }
    }

    /// Whether the quorum of the ballot's height may still give this verdict on the node.
    private static func isOpen(_ ballot: Ballot, on node: RegisteredNode, _ state: RegistryState) -> Bool {
        guard ballot.height > node.changedHeight, state.quorum(at: ballot.height) != nil else { return false }
        switch ballot.verdict {
        case .decommission: return node.standing == .active
        case .recommission: return node.standing == .decommissioned && !node.isInMaintenance
        }
    }

    /// The verdict that the rules give an active node that does not serve, or a decommissioned one that does.
    private static func verdict(on node: RegisteredNode) -> RegistryOperation.Judgment? {
        switch node.standing {
        case .open: nil
        case .decommissioned: node.isInMaintenance ? nil : .recommission
        case .active: .decommission
        }
    }

    /// Evaluates the tests: nodes to accuse or to vouch for, and votes to cast; call it after each test and each block.
    ///
    /// A node is dead if the tests of paths or those of `storage` say so, and well only if the latter do not object.
    public mutating func consider(_ tester: Tester, storage: Tester? = nil, now: Instant) -> [Action] {
        guard let view else { return [] }
        let state = view.state
        let testers = [tester] + (storage.map { [$0] } ?? [])
        let isSilenced = !view.isAboveFloor || now - newestAt > silence
        var (areOthersMarked, isMarked) = (false, false)
        // A tester that is blind may not accuse; the other one may.
        var mayAccuse = [false, false]
        for (place, tester) in testers.enumerated() {
            let accuses = !tester.marked.isSubset(of: view.decommissioned)
            mayAccuse[place] = !isSilenced && !(accuses && tester.isBlind(among: view.active.contains, now: now))
            if !mayAccuse[place] { lastMutes[place] = now }
            if accuses { areOthersMarked = true }
            if !tester.marked.isEmpty { isMarked = true }
        }
        guard let quorum = state.quorums.last, view.active.contains(node) else { return [] }
        // Most nodes are active and well, and need no check.
        if !isMarked, view.decommissioned.isEmpty, cases.isEmpty { return [] }
        var actions: [Action] = []
        func isDead(_ id: NodeID, by place: Int) -> Bool {
            guard mayAccuse[place], let record = testers[place].records[id],
                testers[place].mayAccuse(record, now: now)
            else { return false }
            // Results of that time may be this node's own fault, or out of date: they must be found again first.
            return lastMutes[place].map { record.lastTest > $0 } ?? true
        }
        func holds(_ verdict: RegistryOperation.Judgment, _ id: NodeID) -> Bool {
            switch verdict {
            case .decommission: testers.indices.contains { isDead(id, by: $0) }
            case .recommission:
                tester.isWell(id, now: now) && !(storage?.objects(to: id, now: now) ?? false)
            }
        }
        // A marked node is never well, and only marked nodes can be dead.
        var found: [NodeID] = []
        if areOthersMarked {
            for id in testers.reduce(into: Set(), { $0.formUnion($1.marked) })
            where (nextAsk[id] ?? now) <= now && view.active.contains(id) && holds(.decommission, id) {
                found.append(id)
            }
        }
        // If no others are marked and as many are, all that are decommissioned are marked.
        let marked = tester.marked
        if areOthersMarked || marked.count < view.decommissioned.count {
            for id in view.decommissioned
            where !marked.contains(id) && (nextAsk[id] ?? now) <= now && holds(.recommission, id) { found.append(id) }
        }
        for id in found.sorted() {
            guard let judged = state.nodes[id], let verdict = Self.verdict(on: judged),
                quorum.height > judged.changedHeight
            else { continue }
            nextAsk[id] = now + patience
            let ballot = Ballot(verdict: verdict, node: id, height: quorum.height)
            let judges = state.judges(of: id, height: quorum.height)
            let others = judges.filter { $0 != node }
            if !others.isEmpty { actions.append(.ask(ballot, others)) }
            if judges.contains(node) { openOwn(ballot, state, now) }
        }
        for ballot in cases.due(fewest: view.fewestVotes, now: now, agree: holds) {
            if cases[ballot]?.hasVoted == false {
                openOwn(ballot, state, now)
                cases[ballot]?.hasVoted = true
                actions.append(.vote(ballot))
            }
            actions += pursue(ballot, now)
        }
        return actions
    }

    // MARK: Cases

    /// Keeps a ballot as this node's own, which always has a place: the one of the lowest height is removed for it.
    private mutating func openOwn(_ ballot: Ballot, _ state: RegistryState, _ now: Instant) {
        if let held = cases[ballot] {
            guard let sender = held.sender else { return }
            shares.release(sender)
            cases[ballot]?.sender = nil
        } else {
            cases[ballot] = Case(ballot: ballot, sender: nil, opened: state.height, nextSpread: now, nextSubmit: now)
        }
        if counts.own > Self.ownLimit,
            let oldest = cases.all.lazy.map({ ($0.sender, $0.ballot) }).filter({ $0.0 == nil && $0.1 != ballot })
                .map(\.1).min(by: { ($0.height, $0.node) < ($1.height, $1.node) })
        {
            close(oldest)
        }
    }

    /// Keeps a ballot in the share of `sender`; false if it cannot be judged, this node is not a judge, or there is no
    /// place.
    private mutating func open(_ ballot: Ballot, from sender: NodeID, _ now: Instant) -> Bool {
        if cases.contains(ballot) { return true }
        guard let state = view?.state, let judged = state.nodes[ballot.node], Self.isOpen(ballot, on: judged, state),
            state.isJudge(node, of: ballot.node, height: ballot.height)
        else { return false }
        var admission = shares.take(for: sender)
        if admission == .shareUsed, let oldest = oldest(of: sender, below: ballot.height) {
            close(oldest)
            admission = shares.take(for: sender)
        } else if case .makeRoom(let other) = admission, let oldest = oldest(of: other) {
            close(oldest)
            admission = shares.take(for: sender)
        }
        guard admission == .granted else { return false }
        cases[ballot] = Case(ballot: ballot, sender: sender, opened: state.height, nextSpread: now, nextSubmit: now)
        return true
    }

    /// Of the cases that `sender` opened, the one of the lowest height, those without votes first.
    ///
    /// With `height`, only a case without votes below that height.
    private func oldest(of sender: NodeID, below height: UInt64? = nil) -> Ballot? {
        cases.all.lazy.filter { held in
            held.sender == sender && height.map { held.ballot.height < $0 && held.votes.isEmpty } ?? true
        }.map { (hasVotes: $0.votes.isEmpty ? 0 : 1, ballot: $0.ballot) }.min { a, b in
            (a.hasVotes, a.ballot.height, a.ballot.node) < (b.hasVotes, b.ballot.height, b.ballot.node)
        }?.ballot
    }

    private mutating func close(_ ballot: Ballot) {
        if let sender = cases[ballot]?.sender { shares.release(sender) }
        cases[ballot] = nil
    }

    // MARK: Messages

    /// Handles `sender`'s request to test a node; returns whether this node should test it now.
    public mutating func asked(_ ballot: Ballot, from sender: NodeID, now: Instant) -> Bool {
        open(ballot, from: sender, now)
    }

    /// Records this node's signature of the ballot.
    public mutating func voted(_ ballot: Ballot, signature: [UInt8], now: Instant) -> [Action] {
        guard let state = view?.state, cases.contains(ballot),
            let place = state.judges(of: ballot.node, height: ballot.height).firstIndex(of: node)
        else { return [] }
        cast += 1
        openOwn(ballot, state, now)
        cases[ballot]?.hasVoted = true
        cases.hold(ballot.node)
        cases[ballot]?.votes[UInt8(place)] = signature
        cases[ballot]?.nextSpread = now
        return pursue(ballot, now)
    }

    /// Keeps the votes from `sender` that are of members and verify; returns the votes that this node holds now.
    ///
    /// Costs one verification (60 µs) for each new vote. A sender's first wrong one is its last that is verified at a
    /// height: an honest node passes on verified votes alone. Nodes that are not registered are no members.
    public mutating func take(
        _ other: BallotVotes, from sender: NodeID, now: Instant
    ) -> (answer: BallotVotes, actions: [Action], isAsked: Bool)? {
        take(other, from: sender, now: now) { signature, message, judge in
            SigningKey.verify(signature.rawSpan, of: message.rawSpan, by: judge.key)
        }
    }

    /// The same; `isSigned` returns whether a signature is that of a node over a message.
    mutating func take(
        _ other: BallotVotes, from sender: NodeID, now: Instant,
        isSigned: (_ signature: [UInt8], _ message: [UInt8], _ node: NodeID) -> Bool
    ) -> (answer: BallotVotes, actions: [Action], isAsked: Bool)? {
        let ballot = other.ballot
        guard !liars.contains(sender), let state = view?.state, state.nodes[sender] != nil,
            open(ballot, from: sender, now), let quorum = state.quorum(at: ballot.height)
        else { return nil }
        let judges = state.judges(of: ballot.node, height: ballot.height)
        let message = RegistryOperation.ballot(
            ballot.verdict, on: ballot.node, height: ballot.height, block: quorum.block, network: state.network)
        for vote in other.votes where Int(vote.place) < judges.count && cases[ballot]?.votes[vote.place] == nil {
            let judge = judges[Int(vote.place)]
            // This node may have cast that one before it was restarted. It votes by the tests that it has made since.
            if judge == node { continue }
            guard isSigned(vote.signature, message, judge) else {
                liars.insert(sender)
                return nil
            }
            cases[ballot]?.votes[vote.place] = vote.signature
        }
        return (votes(on: ballot), pursue(ballot, now), cases[ballot]?.hasVoted == false)
    }

    private func votes(on ballot: Ballot) -> BallotVotes {
        let held = cases[ballot]?.votes ?? [:]
        return BallotVotes(
            ballot: ballot, votes: held.sorted { $0.key < $1.key }.map { .init(place: $0.key, signature: $0.value) })
    }

    /// Spreads this node's vote, and hands in a verdict with enough votes, while its tests still agree.
    ///
    /// Votes are valid for voteLifetime heights, and the floor may delay a verdict until the node serves again.
    private mutating func pursue(_ ballot: Ballot, _ now: Instant) -> [Action] {
        guard let state = view?.state, let held = cases[ballot], held.hasVoted, !held.votes.isEmpty,
            cases.isHeld(ballot.node)
        else { return [] }
        let judges = state.judges(of: ballot.node, height: ballot.height)
        var actions: [Action] = []
        if held.nextSpread <= now {
            // Each repetition waits longer: most members have the vote after the first.
            cases[ballot]?.nextSpread = now + patience * (1 << min(held.spreads, 5))
            cases[ballot]?.spreads += 1
            let others = judges.filter { $0 != node }
            if !others.isEmpty { actions.append(.spread(votes(on: ballot), others)) }
        }
        let needed = max(1, state.parameters.votesNeeded(ofQuorum: judges.count))
        if held.votes.count >= needed, held.nextSubmit <= now {
            cases[ballot]?.nextSubmit = now + patience
            submitted += 1
            let votes = Array(votes(on: ballot).votes.prefix(RegistryOperation.maximumVotes))
            actions.append(.submit(.judge(ballot.verdict, node: ballot.node, height: ballot.height, votes: votes)))
        }
        return actions
    }

    // MARK: Capacities

    /// The measurements that this node may report by the quorum of the newest height, at most one report's worth.
    ///
    /// Each node once after each measurement; nodes of its own operator never.
    public func measurements(
        of tester: Tester, reported: [NodeID: Instant]
    ) -> (height: UInt64, measured: [RegistryOperation.Measurement])? {
        guard let state = view?.state, let quorum = state.quorums.last, let own = state.nodes[node],
            own.standing == .active
        else { return nil }
        var measured: [RegistryOperation.Measurement] = []
        for (id, record) in tester.records {
            guard let capacity = record.capacity, let at = record.measured, reported[id].map({ $0 < at }) ?? true,
                let other = state.nodes[id], other.standing != .open, other.operatorAccount != own.operatorAccount,
                (other.reports.first { $0.operatorAccount == own.operatorAccount }?.height ?? 0) < quorum.height,
                state.judges(of: id, height: quorum.height).contains(node)
            else { continue }
            measured.append(.init(node: id, capacity: capacity))
            if measured.count == RegistryOperation.maximumReported { break }
        }
        return measured.isEmpty ? nil : (quorum.height, measured)
    }
}

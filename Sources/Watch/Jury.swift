internal import OnionCrypto
public import Registry
public import Wire

/// A node's part in judging others: what it asks quorums to look at, what it votes, and the votes that it gathers.
///
/// Nobody votes by hearsay. Who finds a node dead asks the quorum of the newest height to look for itself; a member votes by
/// its own tests alone, and tells the other members; whoever holds enough votes hands in the verdict. So as long as fewer
/// members lie than a verdict takes votes, none is put out that serves.
public struct Jury: Sendable {
    /// What the caller is to do.
    public enum Action: Hashable, Sendable {
        /// Ask the members `judges` to test the ballot's node for themselves.
        case ask(Ballot, [NodeID])
        /// Sign the ballot, and tell it by ``voted(_:signature:)``.
        case vote(Ballot)
        /// Send the votes to the other members.
        case spread(BallotVotes, [NodeID])
        /// Hand in the verdict.
        case submit(RegistryOperation.Action)
    }

    /// The most ballots that are kept.
    public static let ballotLimit = 512
    /// How long one waits before the same is asked, spread or handed in again.
    private let patience: TimeSpan

    private struct Case {
        var votes: [UInt8: [UInt8]] = [:]
        var isAsked = false
        var hasVoted = false
        var nextSpread: Instant
        var spreads: Int64 = 0
        var nextSubmit: Instant
    }

    private let node: NodeID
    private var state: RegistryState?
    private var cases: [Ballot: Case] = [:]
    /// When a quorum is asked about the node again.
    private var nextAsk: [NodeID: Instant] = [:]
    /// Votes that this node has cast, and verdicts that it has handed in.
    public private(set) var cast: UInt64 = 0, submitted: UInt64 = 0

    /// The part of `node`; it repeats itself after `patience` at the earliest.
    public init(node: NodeID, patience: TimeSpan) {
        self.node = node
        self.patience = patience
    }

    /// Goes on with a newer state of the registry: what can no longer be judged is forgotten.
    public mutating func follow(_ state: RegistryState) {
        self.state = state
        cases = cases.filter { Self.isOpen($0.key, state) }
        nextAsk = nextAsk.filter { state.nodes[$0.key] != nil }
    }

    /// Whether the quorum of the ballot's height may still judge the node so.
    private static func isOpen(_ ballot: Ballot, _ state: RegistryState) -> Bool {
        guard state.quorums.contains(where: { $0.height == ballot.height }), let node = state.nodes[ballot.node],
            ballot.height > node.changedHeight
        else { return false }
        switch ballot.verdict {
        case .decommission, .deregister: return node.standing == .active
        case .recommission: return node.standing == .decommissioned
        }
    }

    /// What the rules make of an active node that does not serve, or of a decommissioned one that does.
    private static func verdict(on node: RegisteredNode, _ state: RegistryState) -> RegistryOperation.Verdict? {
        switch node.standing {
        case .open: nil
        case .decommissioned: .recommission
        case .active:
            node.credit(at: state.time, state.parameters) >= UInt64(state.parameters.creditToDecommission)
                ? .decommission : .deregister
        }
    }

    /// Looks at what the tests say: whom to accuse or to vouch for, and what to vote; to be called after each test and each block.
    public mutating func consider(_ tester: Tester, now: Instant) -> [Action] {
        guard let state, let quorum = state.quorums.last, state.nodes[node]?.standing == .active else { return [] }
        var actions: [Action] = []
        // Most nodes are active and well: these are told by their records alone.
        let found = tester.records.filter { id, record in
            record.marks >= Tester.deadMarks || state.nodes[id]?.standing == .decommissioned
        }
        if found.isEmpty, cases.isEmpty { return [] }
        let isBlind = tester.isBlind(among: { state.nodes[$0]?.standing == .active }, now: now)
        func holds(_ verdict: RegistryOperation.Verdict, _ id: NodeID) -> Bool {
            switch verdict {
            case .decommission, .deregister: !isBlind && tester.isDead(id, now: now)
            case .recommission: tester.isWell(id, now: now)
            }
        }
        for id in found.keys.sorted() {
            guard let judged = state.nodes[id], let verdict = Self.verdict(on: judged, state), holds(verdict, id),
                quorum.height > judged.changedHeight, (nextAsk[id] ?? now) <= now
            else { continue }
            nextAsk[id] = now + patience
            let ballot = Ballot(verdict: verdict, node: id, height: quorum.height)
            let judges = state.judges(of: id, height: quorum.height)
            let others = judges.filter { $0 != node }
            if !others.isEmpty { actions.append(.ask(ballot, others)) }
            if judges.contains(node) { _ = open(ballot, now) }
        }
        // Others may have accused many that serve: what concerns neither a vote of this node nor its tests waits.
        let live = cases.filter { $0.value.hasVoted || found[$0.key.node] != nil }
        for ballot in live.keys.sorted(by: { ($0.height, $0.node) < ($1.height, $1.node) }) {
            guard let judged = state.nodes[ballot.node] else { continue }
            if cases[ballot]?.hasVoted == false, Self.verdict(on: judged, state) == ballot.verdict,
                holds(ballot.verdict, ballot.node)
            {
                cases[ballot]?.hasVoted = true
                actions.append(.vote(ballot))
            }
            actions += pursue(ballot, now)
        }
        return actions
    }

    /// A ballot that is kept from now on; false when it cannot be judged, this node is no judge, or there are too many.
    private mutating func open(_ ballot: Ballot, _ now: Instant) -> Bool {
        if cases[ballot] != nil { return true }
        guard let state, cases.count < Self.ballotLimit, Self.isOpen(ballot, state),
            state.judges(of: ballot.node, height: ballot.height).contains(node)
        else { return false }
        cases[ballot] = Case(nextSpread: now, nextSubmit: now)
        return true
    }

    /// Another node asks for a look: whether this one is to test the ballot's node now.
    public mutating func asked(_ ballot: Ballot, now: Instant) -> Bool { open(ballot, now) }

    /// This node has signed the ballot.
    public mutating func voted(_ ballot: Ballot, signature: [UInt8], now: Instant) -> [Action] {
        guard let state, cases[ballot] != nil,
            let place = state.judges(of: ballot.node, height: ballot.height).firstIndex(of: node)
        else { return [] }
        cast += 1
        cases[ballot]?.hasVoted = true
        cases[ballot]?.votes[UInt8(place)] = signature
        cases[ballot]?.nextSpread = now
        return pursue(ballot, now)
    }

    /// Votes came from another member: those of members whose signatures verify are kept; returns what this node holds now.
    ///
    /// Costs one verification (60 µs) for each vote that is new.
    public mutating func take(_ other: BallotVotes, now: Instant) -> (
        answer: BallotVotes, actions: [Action], isAsked: Bool
    )? {
        let ballot = other.ballot
        guard open(ballot, now), let state, let quorum = state.quorums.last(where: { $0.height == ballot.height })
        else {
            return nil
        }
        let judges = state.judges(of: ballot.node, height: ballot.height)
        let message = RegistryOperation.ballot(
            ballot.verdict, on: ballot.node, height: ballot.height, block: quorum.block, network: state.network)
        for vote in other.votes where Int(vote.place) < judges.count && cases[ballot]?.votes[vote.place] == nil {
            let judge = judges[Int(vote.place)]
            guard judge != node, SigningKey.verify(vote.signature.rawSpan, of: message.rawSpan, by: judge.key) else {
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

    /// Spreads what this node voted, and hands in a verdict with votes enough.
    private mutating func pursue(_ ballot: Ballot, _ now: Instant) -> [Action] {
        guard let state, let held = cases[ballot], held.hasVoted, !held.votes.isEmpty else { return [] }
        let judges = state.judges(of: ballot.node, height: ballot.height)
        var actions: [Action] = []
        if held.nextSpread <= now {
            // Each time later: most members have it after the first.
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

    /// What this node has measured and may report by the quorum of the newest height, at most what one report holds.
    ///
    /// Of each node once after each measurement; nodes of its own operator never.
    public func measurements(
        of tester: Tester, reported: [NodeID: Instant]
    ) -> (height: UInt64, measured: [RegistryOperation.Measurement])? {
        guard let state, let quorum = state.quorums.last, let own = state.nodes[node], own.standing == .active else {
            return nil
        }
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

public import Wire

extension PathSelector {
    /// The number of a client's paths that are tried for one test; a middle of average weight takes six on average.
    private static let tries = 64

    /// A path to `terminal` with `tested` as the first hop, or as the middle of three; nil if no client can have one.
    ///
    /// The other hops are drawn as for a client with its own guards whose path has `tested` in that place, so that the
    /// path does not reveal a test. A suspended node, which is no hop of clients, can still be tested as the first hop.
    public func selectTest(
        of tested: NodeID, asMiddle: Bool, hops count: Int = 3, terminal: TerminalRequirement, health: NodeHealth,
        at now: UnixTime, using generator: inout some RandomNumberGenerator
    ) -> [NodeID]? {
        precondition(count >= 2 && (count == 3 || !asMiddle), "a test leads beyond the tested node")
        guard !asMiddle || knows(tested) else { return nil }
        for _ in 0..<Self.tries {
            var guards = Guards()
            if !asMiddle, knows(tested) {
                _ = guards.add(tested, at: now, isListed: knows, using: &generator)
            }
            // If a client finds no path, there is no test. For a middle, only guard and exit are drawn here, because
            // the middle is known.
            guard
                let path = try? select(
                    hops: asMiddle ? 2 : count, terminal: terminal, guards: &guards, health: health, at: now,
                    using: &generator)
            else { return nil }
            guard asMiddle else {
                if path.hops[0] == tested { return path.hops }
                if !knows(tested), !path.hops.contains(tested) { return [tested] + path.hops.dropFirst() }
                continue
            }
            if isDrawn(tested, on: path, guards, health, at: now, using: &generator) {
                return [path.hops[0], tested, path.hops[1]]
            }
        }
        return nil
    }

    /// A path to `terminal` with `tested`, which has these addresses, as its middle; nil if there is none.
    ///
    /// For a machine that has no route to the node: nodes that share an address family with both stand between. They
    /// may be few, so only these are drawn. A suspended node can be tested so too.
    public func selectTest(
        over tested: NodeID, at addresses: [Endpoint], terminal: TerminalRequirement, health: NodeHealth,
        at now: UnixTime,
        using generator: inout some RandomNumberGenerator
    ) -> [NodeID]? {
        let hasIPv4 = addresses.contains { $0.address.v4 != nil }
        let hasIPv6 = addresses.contains { $0.address.v4 == nil }
        let joins = { (candidate: Candidate) in hasIPv4 && candidate.hasIPv4 || hasIPv6 && candidate.hasIPv6 }
        let own = table.index[tested].map { [$0] } ?? []
        let place: CandidateTable.Place = terminal == .any ? .inner : .exit
        var draft = Draft(table: table, rules: rules, health: health, avoiding: [], avoidedGuards: [], at: now)
        for relaxation in [Relaxation.nothing, .unhealthy] {
            draft.relaxation = relaxation
            for _ in 0..<Self.tries {
                let first = draft.draw(.inner, apartFrom: own, using: &generator) { joins($0) && isReachable($0) }
                guard let first else { break }
                let last = draft.draw(place, apartFrom: own + [first], using: &generator) {
                    joins($0) && $0.fits(terminal)
                }
                guard let last else { continue }
                return [table.candidates[first].node, tested, table.candidates[last].node]
            }
        }
        return nil
    }

    /// How many nodes can be the first or the last hop of such paths over a staked node, and how many operators' nodes
    /// the last one.
    public func neighbours(of tested: NodeID, terminal: TerminalRequirement) -> (nodes: Int, operators: Int) {
        guard let index = table.index[tested] else { return (0, 0) }
        let joined = table.candidates.indices.filter { table.mayShareAPath($0, index, rules) }
        let firsts = joined.filter { isReachable(table.candidates[$0]) }
        let lasts = joined.filter { table.candidates[$0].fits(terminal) }
        let usedFirsts = firsts.filter { first in lasts.contains { table.mayShareAPath(first, $0, rules) } }
        let usedLasts = lasts.filter { last in firsts.contains { table.mayShareAPath(last, $0, rules) } }
        return (
            Set(usedFirsts + usedLasts).count, Set(usedLasts.map { table.candidates[$0].operatorIndex }).count
        )
    }

    /// Whether this machine can have a link to the candidate.
    private func isReachable(_ candidate: Candidate) -> Bool {
        rules.hasIPv4 && candidate.hasIPv4 || rules.hasIPv6 && candidate.hasIPv6
    }

    /// Whether a client with these guards, and a path of this guard and exit, could have drawn `tested` as its middle;
    /// random.
    ///
    /// A client draws guard and exit first, then the middle from the remaining nodes. So the less weight a pair leaves,
    /// the more likely it is to have `tested` between. The pair is accepted with the probability of a quarter of the
    /// total weight divided by the remaining weight, at most 1.
    private func isDrawn(
        _ tested: NodeID, on path: SelectedPath, _ guards: Guards, _ health: NodeHealth, at now: UnixTime,
        using generator: inout some RandomNumberGenerator
    ) -> Bool {
        guard let index = table.index[tested], let first = table.index[path.hops[0]],
            let last = table.index[path.hops[1]]
        else { return false }
        var draft = Draft(
            table: table, rules: rules, health: health, avoiding: [], avoidedGuards: guards.primaries.map(\.node),
            at: now)
        for relaxation in Relaxation.allCases where relaxation >= path.relaxation {
            draft.relaxation = relaxation
            let (own, left, all) = draft.weights(of: index, apartFrom: [first, last])
            guard left > 0 else { continue }
            return own > 0 && (left <= all / 4 || UInt64.random(in: 0..<left, using: &generator) < all / 4)
        }
        return false
    }
}

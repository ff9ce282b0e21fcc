public import Wire

extension PathSelector {
    /// How many of a client's paths are looked at for one; for a middle of middling weight it takes six, on average.
    private static let tries = 64

    /// A path to `terminal` in which `tested` is the first hop, or the middle of three; nil when no client can have one.
    ///
    /// The other hops are drawn as those of a client with guards of its own whose path has `tested` there, so that nothing of
    /// the path tells a test. A node that is no hop of clients, a suspended one, can be tested as first hop all the same.
    public func selectTest(
        of tested: NodeID, asMiddle: Bool, hops count: Int = 3, terminal: Terminal, health: NodeHealth,
        at now: UnixTime, using generator: inout some RandomNumberGenerator
    ) -> [NodeID]? {
        precondition(count >= 2 && (count == 3 || !asMiddle), "a test leads beyond the tested node")
        guard !asMiddle || knows(tested) else { return nil }
        for _ in 0..<Self.tries {
            var guards = Guards()
            if !asMiddle, knows(tested) {
                _ = guards.add(tested, at: now, isListed: knows, using: &generator)
            }
            // Where a client finds no path, a test finds none. The middle is known, so only guard and exit are drawn for it.
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

    /// Whether a client with these guards, and a path of this guard and exit, may have drawn `tested` as its middle.
    ///
    /// Guard and exit come first, and the middle out of those that are left: so a pair counts for the more, the less it leaves.
    /// It is taken by a chance of a quarter of all weight over that, and at once where less than a quarter is left.
    private func isDrawn(
        _ tested: NodeID, on path: SelectedPath, _ guards: Guards, _ health: NodeHealth, at now: UnixTime,
        using generator: inout some RandomNumberGenerator
    ) -> Bool {
        guard let index = table.index[tested], let first = table.index[path.hops[0]],
            let last = table.index[path.hops[1]]
        else { return false }
        var draft = Draft(
            table: table, rules: rules, health: health, avoiding: [], sparing: guards.primaries.map(\.node), at: now)
        for relaxation in Relaxation.allCases where relaxation >= path.relaxation {
            draft.relaxation = relaxation
            let (own, left, all) = draft.weights(of: index, apartFrom: [first, last])
            guard left > 0 else { continue }
            return own > 0 && (left <= all / 4 || UInt64.random(in: 0..<left, using: &generator) < all / 4)
        }
        return false
    }
}

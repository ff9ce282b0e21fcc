public import Wire

/// The requirement for the last hop of a path.
public enum TerminalRequirement: Hashable, Sendable {
    /// Any node.
    case any
    /// An exit with all of these abilities.
    case exit(Descriptor.ExitSummary)
    /// This node, for example for another leg of a session.
    case node(NodeID)
}

/// The requirements that a path does not meet, in the order in which they are given up.
public enum Relaxation: Int, Comparable, Sendable, CaseIterable {
    /// The path meets all requirements.
    case nothing
    /// A hop behind the guard is to be avoided, or is a guard in use.
    case sharedMiddle
    /// The guard is to be avoided too: the path can fail together with the other one.
    case sharedGuard
    /// A hop has failed often recently, or the guard rests.
    case unhealthy

    /// Whether `a` gives up less than `b`.
    public static func < (a: Relaxation, b: Relaxation) -> Bool { a.rawValue < b.rawValue }
}

/// The selected hops of a path.
public struct SelectedPath: Hashable, Sendable {
    /// The hops, guard first.
    public let hops: [NodeID]
    /// The requirements that were given up.
    public let relaxation: Relaxation
}

/// Why no path could be selected.
public enum PathRefusal: Error, Equatable {
    /// No node can be the guard.
    case noGuard
    /// No node can be the last hop: none has the role, or the named node is not known.
    case noTerminal
    /// Too few nodes with different operators and address ranges for this number of hops.
    case tooFewNodes
    /// Too little of the network is known (`Coverage`), or the known state is too old.
    case tooLittleKnown
}

/// Selects the hops of paths among the staked nodes with known descriptors.
///
/// A value for one state of the directory. Create a new one when the snapshot or the descriptors have changed (the cost
/// is a pass over all nodes), and every hour, because descriptors expire. A selection takes a few passes over the
/// candidates.
///
/// Some requirements are never given up: no node twice, no own nodes, all hops staked, the terminal's role, and, if the
/// network file requires them, different operators and address ranges. `Relaxation` lists the others, in the order in
/// which they are given up.
public struct PathSelector: Sendable {
    /// The rules for all paths.
    public struct Rules: Sendable {
        /// Whether hops must belong to different operators.
        public var requireOperatorDiversity = true
        /// Whether hops must be in different address ranges.
        public var requireAddressDiversity = true
        /// The largest share of one operator in the choice, in percent.
        public var operatorSharePercent = 10
        /// This machine's own nodes.
        public var own: Set<NodeID> = []
        /// The exits that may be used; empty: all.
        public var exits = NodeChoice()
        /// The nodes that are never used.
        public var avoided = NodeChoice()
        /// Whether this machine reaches IPv4 addresses.
        public var hasIPv4 = true
        /// Whether this machine reaches IPv6 addresses.
        public var hasIPv6 = false
        /// The protocol versions that this machine speaks.
        public var versions: ClosedRange<UInt8> = 2...2
        /// The suites that this machine supports.
        public var suites = SuiteSet.known

        /// The rules of a network.
        public init(_ file: NetworkFile) {
            requireOperatorDiversity = file.requireOperatorDiversity
            requireAddressDiversity = file.requireAddressDiversity
            operatorSharePercent = file.operatorSharePercent
        }

        /// The default rules.
        public init() {}
    }

    let table: CandidateTable
    let rules: Rules

    /// Prepares a selection among the staked nodes of `snapshot` that have a descriptor valid at `now`.
    public init(
        snapshot: Snapshot, descriptors: some Sequence<SignedDescriptor>, rules: Rules, at now: UnixTime
    ) {
        self.rules = rules
        table = CandidateTable(snapshot: snapshot, descriptors: descriptors, rules: rules, at: now)
    }

    /// The number of nodes that can be hops.
    public var count: Int { table.candidates.count }

    /// The number of nodes that can be the last hop for `terminal`.
    public func count(for terminal: TerminalRequirement) -> Int { table.candidates.count { $0.fits(terminal) } }

    /// Whether `node` can be the last hop for `terminal`.
    public func fits(_ node: NodeID, _ terminal: TerminalRequirement) -> Bool {
        table.index[node].map { table.candidates[$0].fits(terminal) } ?? false
    }

    /// Whether `node` can be a hop.
    public func knows(_ node: NodeID) -> Bool { table.index[node] != nil }

    /// Whether both nodes can be hops, and on the same path.
    public func mayShareAPath(_ a: NodeID, _ b: NodeID) -> Bool {
        guard let x = table.index[a], let y = table.index[b] else { return false }
        return table.mayShareAPath(x, y, rules)
    }

    /// Selects a path of 1 to 4 hops.
    ///
    /// `avoiding` has hops of other paths that should not fail together with this one. The guard is from `guards`,
    /// which grows only if no guard of the sample is suitable. The second hop of paths of three or more hops is from
    /// its inner set. Unless `only` is nil, the guard is one of `only` and does not rest, and no new guard is drawn. A
    /// path of one hop to a named node uses no guard.
    public func select(
        hops count: Int = 3, terminal: TerminalRequirement, avoiding: [NodeID] = [], only: [NodeID]? = nil,
        guards: inout Guards,
        health: NodeHealth, at now: UnixTime, using generator: inout some RandomNumberGenerator
    ) throws(PathRefusal) -> SelectedPath {
        precondition(1...4 ~= count, "a path has 1 to 4 hops")
        var fixed: Int?
        if case .node(let node) = terminal {
            guard let index = table.index[node] else { throw .noTerminal }
            guard count > 1 else {
                guard isReachable(index) else { throw .noGuard }
                return SelectedPath(hops: [node], relaxation: .nothing)
            }
            fixed = index
        } else if !table.candidates.contains(where: { $0.fits(terminal) }) {
            throw .noTerminal
        }
        let entries = try enter(
            hops: count, terminal: terminal, fixed: fixed, only: only, guards: &guards, at: now, using: &generator)
        // A guard in another place of a path could not be the guard of the leg beside it.
        let spared = guards.ownEntries
        var draft = Draft(
            table: table, rules: rules, health: health, avoiding: avoiding, avoidedGuards: spared, at: now)
        if count > 2 { draft.fill(&guards.inner, using: &generator) }
        for relaxation in Relaxation.allCases {
            draft.relaxation = relaxation
            for entry in entries where draft.allowsGuard(entry.index, rests: entry.rests) {
                for _ in 0..<8 {
                    switch draft.attempt(
                        count, guardIndex: entry.index, terminal: terminal, fixed: fixed, inner: &guards.inner,
                        using: &generator)
                    {
                    case .found(let path):
                        return SelectedPath(hops: path.map { table.candidates[$0].node }, relaxation: relaxation)
                    case .unlucky: continue
                    case .impossible: break
                    }
                    break
                }
            }
        }
        throw .tooFewNodes
    }

    /// Whether a node can be a guard.
    func isUsable(_ node: NodeID) -> Bool { table.index[node].map { isReachable($0) } ?? false }

    /// The guards to try: those of `only`; if that is nil, those of the sample, with new ones if it has none for this
    /// path.
    private func enter(
        hops count: Int, terminal: TerminalRequirement, fixed: Int?, only: [NodeID]?, guards: inout Guards,
        at now: UnixTime,
        using generator: inout some RandomNumberGenerator
    ) throws(PathRefusal) -> [(index: Int, rests: Bool)] {
        let table = table
        while only == nil, guards.sample.count(where: { isUsable($0.node) && !$0.isSetAside }) < Guards.primaryCount {
            guard draw(into: &guards, at: now, where: { _ in true }, using: &generator) else { break }
        }
        let isSuitable = { (index: Int) in
            if count == 1 { return table.candidates[index].fits(terminal) }
            return fixed.map { table.mayShareAPath(index, $0, rules) } ?? true
        }
        func suitable(using generator: inout some RandomNumberGenerator) -> [(index: Int, rests: Bool)] {
            guards.order(at: now, isUsable: isUsable, using: &generator).compactMap { entry in
                guard let index = table.index[entry.node], isSuitable(index),
                    only.map({ !entry.rests && $0.contains(entry.node) }) ?? true
                else { return nil }
                return (index, entry.rests)
            }
        }
        var entries = suitable(using: &generator)
        if only == nil, !entries.contains(where: { !$0.rests }),
            draw(into: &guards, at: now, where: isSuitable, using: &generator)
        {
            entries = suitable(using: &generator)
        }
        guard !entries.isEmpty else { throw .noGuard }
        return entries
    }

    /// Draws one more guard, preferably of an operator and an address range that the sample lacks; false if there is
    /// none.
    private func draw(
        into guards: inout Guards, at now: UnixTime, where isSuitable: (Int) -> Bool,
        using generator: inout some RandomNumberGenerator
    ) -> Bool {
        let sampled = guards.sample.compactMap { table.index[$0.node] }
        for isApart in [true, false] {
            let drawn = table.draw(.inner, using: &generator) { index in
                isReachable(index) && isSuitable(index)
                    && sampled.allSatisfy { $0 != index && (!isApart || table.areApart(index, $0)) }
            }
            if let drawn {
                return guards.add(
                    table.candidates[drawn].node, at: now, isListed: { table.index[$0] != nil }, using: &generator)
            }
        }
        return false
    }

    /// Whether this machine can have a link to the candidate.
    private func isReachable(_ index: Int) -> Bool {
        let candidate = table.candidates[index]
        return rules.hasIPv4 && candidate.hasIPv4 || rules.hasIPv6 && candidate.hasIPv6
    }
}

/// The search for the hops of one path.
struct Draft {
    enum Outcome {
        case found([Int])
        /// Another draw may succeed.
        case unlucky
        /// No draw can succeed with this guard.
        case impossible
    }

    let table: CandidateTable
    let rules: PathSelector.Rules
    private let now: UnixTime
    /// The eighths of its weight that each candidate keeps for its penalties; 0 if it is avoided.
    private var keptEighths: [UInt8]
    private let avoiding: [Int]
    /// The guards in use; they are not used behind the guard.
    private let avoidedGuards: [Int]
    var relaxation = Relaxation.nothing

    init(
        table: CandidateTable, rules: PathSelector.Rules, health: NodeHealth, avoiding: [NodeID],
        avoidedGuards: [NodeID],
        at now: UnixTime
    ) {
        self.table = table
        self.rules = rules
        self.now = now
        self.avoiding = avoiding.compactMap { table.index[$0] }
        self.avoidedGuards = avoidedGuards.compactMap { table.index[$0] }
        var keptEighths = [UInt8](repeating: 8, count: table.candidates.count)
        health.forEach(at: now) { node, penalties in
            guard let index = table.index[node] else { return }
            keptEighths[index] = penalties >= NodeHealth.avoidancePenalties ? 0 : UInt8(8 / (1 + penalties))
        }
        self.keptEighths = keptEighths
    }

    func allowsGuard(_ index: Int, rests: Bool) -> Bool {
        (relaxation >= .unhealthy || !rests) && (relaxation >= .sharedGuard || !avoiding.contains(index))
    }

    /// Draws the hops behind the guard, the terminal first.
    func attempt(
        _ count: Int, guardIndex: Int, terminal: TerminalRequirement, fixed: Int?, inner: inout InnerSet,
        using generator: inout some RandomNumberGenerator
    ) -> Outcome {
        guard count > 1 else { return .found([guardIndex]) }
        let last: Int
        if let fixed {
            last = fixed
        } else {
            let place: CandidateTable.Place = terminal == .any ? .inner : .exit
            guard
                let drawn = draw(place, apartFrom: [guardIndex], using: &generator, where: { $0.fits(terminal) })
            else { return .impossible }
            last = drawn
        }
        var path = [guardIndex]
        for place in 1..<count - 1 {
            if place == 1 {
                guard let second = second(behind: guardIndex, before: last, &inner, using: &generator)
                else { return .unlucky }
                path.append(second)
                continue
            }
            guard let drawn = draw(.inner, apartFrom: path + [last], using: &generator, where: { _ in true })
            else { return .unlucky }
            path.append(drawn)
        }
        return .found(path + [last])
    }

    /// Draws nodes into the inner set until it has enough known ones that are not guards in use.
    func fill(_ inner: inout InnerSet, using generator: inout some RandomNumberGenerator) {
        while inner.members.count(where: { isKnown($0.node) && !isSpared($0.node) }) < InnerSet.size {
            guard add(to: &inner, using: &generator, where: { _ in true }) != nil else { return }
        }
    }

    private func isKnown(_ node: NodeID) -> Bool { table.index[node] != nil }
    private func isSpared(_ node: NodeID) -> Bool { table.index[node].map(avoidedGuards.contains) ?? false }

    /// Adds a node for which `fits` is true to the inner set; nil if there is none or no room.
    private func add(
        to inner: inout InnerSet, using generator: inout some RandomNumberGenerator, where fits: (Int) -> Bool
    ) -> Int? {
        guard inner.hasRoom(isListed: isKnown) else { return nil }
        let known = inner.members.compactMap { table.index[$0.node] }
        let drawn = table.drawInner(
            beside: known, behind: avoidedGuards, rules, using: &generator, keeping: { keptEighths[$0] }, where: fits)
        if let drawn { inner.add(table.candidates[drawn].node, isListed: isKnown, using: &generator) }
        return drawn
    }

    /// Draws a second hop from the inner set; adds a node to it if too few of its nodes fit and work.
    ///
    /// A terminal can cause penalties on a node. Then other nodes of the set are preferred, and no node is added.
    private func second(
        behind entry: Int, before last: Int, _ inner: inout InnerSet, using generator: inout some RandomNumberGenerator
    ) -> Int? {
        let fits = { (index: Int) in
            table.mayShareAPath(index, entry, rules) && table.mayShareAPath(index, last, rules)
        }
        let fitting = inner.members.compactMap { member -> (index: Int, member: InnerSet.Member)? in
            guard let index = table.index[member.node], fits(index) else { return nil }
            return (index, member)
        }
        var usable = fitting.filter { !$0.member.isResting(at: now) && !avoidedGuards.contains($0.index) }
            .prefix(InnerSet.size).map(\.index)
        let working = fitting.count {
            !$0.member.isDown(at: now, guards: avoidedGuards.count) && !avoidedGuards.contains($0.index)
        }
        if working < InnerSet.least, let drawn = add(to: &inner, using: &generator, where: fits) {
            usable.append(drawn)
        }
        switch relaxation {
        case .nothing: usable.removeAll { avoiding.contains($0) || avoidedGuards.contains($0) }
        case .sharedMiddle, .sharedGuard:
            usable += fitting.filter { !$0.member.isResting(at: now) && avoidedGuards.contains($0.index) }.map(\.index)
        case .unhealthy: usable = fitting.map(\.index)
        }
        // Nodes with too many penalties are used only if all have them, which rather points to the terminal.
        if usable.contains(where: { keptEighths[$0] > 0 }) { usable.removeAll { keptEighths[$0] == 0 } }
        let weights = usable.map { UInt64(max(1, keptEighths[$0])) }
        guard !weights.isEmpty else { return nil }
        let total = weights.reduce(0, +)
        var drawn = UInt64.random(in: 0..<total, using: &generator)
        for (index, weight) in zip(usable, weights) {
            if drawn < weight { return index }
            drawn -= weight
        }
        return nil
    }

    func draw(
        _ place: CandidateTable.Place, apartFrom chosen: [Int],
        using generator: inout some RandomNumberGenerator, where fits: (Candidate) -> Bool
    ) -> Int? {
        table.draw(place, using: &generator, keeping: eighths) { index in
            fits(table.candidates[index]) && allows(index, apartFrom: chosen)
        }
    }

    private func eighths(_ index: Int) -> UInt8 { relaxation >= .unhealthy ? 8 : keptEighths[index] }

    private func allows(_ index: Int, apartFrom chosen: [Int]) -> Bool {
        chosen.allSatisfy { table.mayShareAPath(index, $0, rules) }
            && (relaxation >= .sharedMiddle || !avoiding.contains(index) && !avoidedGuards.contains(index))
    }

    /// The weight of `index` and of all nodes as a middle beside these hops, and the weight of all nodes.
    func weights(of index: Int, apartFrom chosen: [Int]) -> (own: UInt64, left: UInt64, all: UInt64) {
        var (own, left, all) = (UInt64(0), UInt64(0), UInt64(0))
        for (other, candidate) in table.candidates.enumerated() {
            let weight = candidate.innerWeight * UInt64(eighths(other))
            all += weight
            guard weight > 0, allows(other, apartFrom: chosen) else { continue }
            left += weight
            if other == index { own = weight }
        }
        return (own, left, all)
    }
}

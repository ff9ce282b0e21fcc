internal import Wire

/// A node that can be a hop, with its properties for path selection.
struct Candidate: Sendable {
    let node: NodeID
    /// The same number for nodes of one operator.
    let operatorIndex: UInt32
    /// The first 16 bits of its IPv4 address, or ``noRange4``.
    let range4: UInt32
    /// The first 32 bits of its IPv6 address; only meaningful if it has one.
    let range6: UInt32
    let hasIPv6: Bool
    let isExit: Bool
    let exit: Descriptor.ExitSummary
    /// Whether the user's choice of exits includes it.
    let isChosenExit: Bool
    /// Its weight as a guard or middle, at least 1.
    var innerWeight: UInt64 = 1
    /// Its weight as an exit, at least 1.
    var exitWeight: UInt64 = 1

    static let noRange4: UInt32 = 1 << 16
    var hasIPv4: Bool { range4 != Self.noRange4 }

    func fits(_ terminal: TerminalRequirement) -> Bool {
        switch terminal {
        case .any: true
        case .exit(let needs): isExit && isChosenExit && exit.isSuperset(of: needs)
        case .node(let named): node == named
        }
    }
}

/// All nodes that can be hops; no operator has more than its share of the weights.
struct CandidateTable: Sendable {
    private(set) var candidates: [Candidate] = []
    private(set) var index: [NodeID: Int] = [:]

    /// The weight that a draw uses.
    enum Place {
        /// The weight as a guard or middle, or as a terminal that need not be an exit.
        case inner
        /// The weight as an exit.
        case exit
    }

    /// A weight of 1 is stored as this whole number.
    private static let unit = 4096.0
    /// The smallest part of its weight that an exit keeps as a guard or middle.
    private static let leastInnerPart = 1.0 / 32

    init(
        snapshot: Snapshot, descriptors: some Sequence<SignedDescriptor>, rules: PathSelector.Rules, at now: UnixTime
    ) {
        var operators: [Bytes32: UInt32] = [:]
        var weights: [Double] = []
        for descriptor in descriptors.lazy.map(\.descriptor) {
            guard now < descriptor.expires, descriptor.versions.overlaps(rules.versions),
                !descriptor.suites.isDisjoint(with: rules.suites), !rules.own.contains(descriptor.node),
                !rules.avoided.contains(descriptor),
                index[descriptor.node] == nil, let entry = snapshot.entry(of: descriptor.node), entry.isStaked
            else { continue }
            let fresh = UInt32(operators.count)
            let number = operators[entry.operatorID] ?? fresh
            operators[entry.operatorID] = number
            index[descriptor.node] = candidates.count
            candidates.append(
                Candidate(
                    node: descriptor.node, operatorIndex: number,
                    range4: descriptor.ipv4.flatMap(\.address.v4).map { $0 >> 16 } ?? Candidate.noRange4,
                    range6: UInt32(truncatingIfNeeded: (descriptor.ipv6?.address.high ?? 0) >> 32),
                    hasIPv6: descriptor.ipv6 != nil, isExit: descriptor.roles.contains(.exit), exit: descriptor.exit,
                    isChosenExit: rules.exits.isEmpty || rules.exits.contains(descriptor)))
            let announced = descriptor.bandwidth == 0 ? UInt32.max : descriptor.bandwidth
            weights.append(Double(max(1, min(entry.weight, announced))))
        }
        weigh(weights, operatorCount: operators.count, share: Double(rules.operatorSharePercent) / 100)
    }

    /// Sets the weights, with a cap for each operator: those of exits among themselves, and the others with less for
    /// exits if exits are scarce.
    private mutating func weigh(_ weights: [Double], operatorCount: Int, share: Double) {
        let operators = candidates.map { Int($0.operatorIndex) }
        func capped(_ weights: [Double]) -> [Double] {
            Self.capped(weights, operators: operators, count: operatorCount, share: share)
        }
        let exits = capped(candidates.indices.map { candidates[$0].isExit ? weights[$0] : 0 })
        let all = capped(weights)
        let total = all.reduce(0, +)
        let exitTotal = candidates.indices.reduce(0) { $0 + (candidates[$1].isExit ? all[$1] : 0) }
        // The part of their weight that exits have beyond a third of the total; the exit position needs the rest.
        let spare = exitTotal > 0 ? max(Self.leastInnerPart, (exitTotal - total / 3) / exitTotal) : 1
        let inner = capped(candidates.indices.map { all[$0] * (candidates[$0].isExit ? spare : 1) })
        for place in candidates.indices {
            candidates[place].innerWeight = max(1, UInt64(inner[place] * Self.unit))
            candidates[place].exitWeight = max(1, UInt64(exits[place] * Self.unit))
        }
    }

    /// The weights, with those of each of `count` operators scaled down so that it has at most `share` of the new
    /// total.
    ///
    /// With few operators the share is at least twice an equal share. All capped operators get the same total L = share
    /// × (k L + the total of the others), for the smallest number k of capped operators at which no other operator
    /// exceeds L.
    static func capped(_ weights: [Double], operators: [Int], count: Int, share: Double) -> [Double] {
        var totals = [Double](repeating: 0, count: count)
        for (place, weight) in weights.enumerated() { totals[operators[place]] += weight }
        let present = totals.filter { $0 > 0 }.sorted(by: >)
        let limit = max(share, 2 / Double(max(present.count, 1)))
        guard limit < 1 else { return weights }
        var rest = present.reduce(0, +)
        var level = Double.infinity
        for (before, largest) in present.enumerated() {
            let room = 1 - Double(before) * limit
            guard room > 1e-9 else { break }
            level = limit * rest / room
            if largest <= level { break }
            rest -= largest
        }
        return weights.enumerated().map { place, weight in
            let total = totals[operators[place]]
            return total > level ? weight * level / total : weight
        }
    }

    /// A random candidate for which `isAllowed` is true, drawn by weight; `nil` if there is none.
    ///
    /// `keeping` returns how many eighths of its weight a candidate keeps.
    func draw(
        _ position: Place, using generator: inout some RandomNumberGenerator,
        keeping: (Int) -> UInt8 = { _ in 8 }, where isAllowed: (Int) -> Bool
    ) -> Int? {
        var sums: [(index: Int, upTo: UInt64)] = []
        sums.reserveCapacity(candidates.count)
        var total: UInt64 = 0
        for place in candidates.indices {
            let kept = keeping(place)
            guard kept > 0, isAllowed(place) else { continue }
            total += (position == .exit ? candidates[place].exitWeight : candidates[place].innerWeight) * UInt64(kept)
            sums.append((place, total))
        }
        guard total > 0 else { return nil }
        let drawn = UInt64.random(in: 0..<total, using: &generator)
        var low = 0
        var high = sums.count - 1
        while low < high {
            let middle = (low + high) / 2
            if sums[middle].upTo > drawn { high = middle } else { low = middle + 1 }
        }
        return sums[low].index
    }

    /// A random new node for an inner set with `members`, for paths behind `entries`; `nil` if there is none.
    ///
    /// It prefers a node that can follow each of `entries` and is apart from all members. Then any exit conflicts with
    /// few members: with one of its operator, and one of each of its ranges.
    func drawInner(
        beside members: [Int], behind entries: [Int], _ rules: PathSelector.Rules,
        using generator: inout some RandomNumberGenerator, keeping: (Int) -> UInt8, where fits: (Int) -> Bool
    ) -> Int? {
        func isApart(_ index: Int) -> Bool { members.allSatisfy { areApart(index, $0) } }
        func follows(_ index: Int) -> Bool { entries.allSatisfy { mayShareAPath(index, $0, rules) } }
        func isFresh(_ index: Int) -> Bool { !members.contains(index) && fits(index) }
        return draw(.inner, using: &generator, keeping: keeping) { isFresh($0) && follows($0) && isApart($0) }
            ?? draw(.inner, using: &generator, keeping: keeping) { isFresh($0) && follows($0) }
            ?? draw(.inner, using: &generator) { isFresh($0) && !entries.contains($0) }
            ?? draw(.inner, using: &generator, where: isFresh)
    }

    /// Whether two candidates have different operators and address ranges.
    func areApart(_ a: Int, _ b: Int) -> Bool {
        candidates[a].operatorIndex != candidates[b].operatorIndex && !shareRange(a, b)
    }

    /// Whether two candidates may be on one path: they are different nodes with a common address family, as diverse as
    /// the rules require.
    func mayShareAPath(_ a: Int, _ b: Int, _ rules: PathSelector.Rules) -> Bool {
        let (x, y) = (candidates[a], candidates[b])
        guard a != b, x.hasIPv4 && y.hasIPv4 || x.hasIPv6 && y.hasIPv6 else { return false }
        if rules.requireOperatorDiversity, x.operatorIndex == y.operatorIndex { return false }
        return !(rules.requireAddressDiversity && shareRange(a, b))
    }

    private func shareRange(_ a: Int, _ b: Int) -> Bool {
        let (x, y) = (candidates[a], candidates[b])
        return x.hasIPv4 && x.range4 == y.range4 || x.hasIPv6 && y.hasIPv6 && x.range6 == y.range6
    }
}

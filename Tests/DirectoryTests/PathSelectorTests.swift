import Directory
import SeededRandom
import Testing
import Wire

struct PathSelectorTests {
    let draws = 10_000

    @Test(arguments: 1...4) func p1P7HopsDifferInNodeOperatorAndRange(_ hops: Int) throws {
        let town = Town(count: 60, perOperator: 3, perRange: 2)
        let own = town.node(0)
        let selector = town.selector { $0.own = [own] }
        var generator = SeededGenerator(seed: UInt64(hops))
        var guards = Guards()
        for _ in 0..<draws / 4 {
            let path = try selector.select(
                hops: hops, terminal: .exit([.tcp]), guards: &guards, health: NodeHealth(), at: now,
                using: &generator)
            #expect(path.hops.count == hops && path.relaxation == .nothing)
            #expect(Set(path.hops).count == hops)
            #expect(Set(path.hops.map { town.operators[$0] }).count == hops)
            #expect(Set(path.hops.map { town.ranges[$0] }).count == hops)
            #expect(!path.hops.contains(own))
            #expect(town.exits.contains(path.hops[hops - 1]))
        }
    }

    @Test func p7OwnNodeIsNoExitEvenByName() {
        let town = Town(count: 10)
        let selector = town.selector { $0.own = [town.node(3)] }
        var generator = SeededGenerator(seed: 1)
        var guards = Guards()
        #expect(throws: PathRefusal.noTerminal) {
            try selector.select(
                terminal: .node(town.node(3)), guards: &guards, health: NodeHealth(), at: now, using: &generator)
        }
    }

    @Test func p7NoNodeIsTwiceOnAPathWhateverTheNetworkAllows() throws {
        let town = Town(count: 3, exitEvery: 1)
        let selector = town.selector {
            $0.requireOperatorDiversity = false
            $0.requireAddressDiversity = false
        }
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<200 {
            var guards = Guards()
            let path = try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            #expect(Set(path.hops).count == 3)
        }
    }

    @Test func p2NoOperatorGetsMoreThanItsShare() throws {
        // The first operator has 30 of 300 nodes and 90 percent of the weight.
        let town = Town(count: 300, perOperator: 30, perRange: 1, weight: { $0 < 30 ? 90_000 : 1_000 })
        let whale = town.operators[town.node(0)]
        let selector = town.selector { $0.operatorSharePercent = 20 }
        var generator = SeededGenerator(seed: 2)
        var exits = 0
        var middles = 0
        var entries = 0
        for _ in 0..<draws / 4 {
            var guards = Guards()
            let path = try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            if town.operators[path.hops[0]] == whale { entries += 1 }
            if town.operators[path.hops[1]] == whale { middles += 1 }
            if town.operators[path.hops[2]] == whale { exits += 1 }
        }
        let all = draws / 4
        #expect(entries < all * 45 / 200)
        #expect(exits < all * 30 / 100)
        #expect(middles < all * 34 / 100)
        #expect(entries > all * 10 / 100 && exits > all * 10 / 100)
    }

    @Test("RQ5: where guards are named, one of these is taken, whatever is to be avoided, or none; none is drawn")
    func rq5NamedGuards() throws {
        let town = Town(count: 60)
        let selector = town.selector()
        var generator = SeededGenerator(seed: 11)
        var guards = Guards()
        func select(_ only: [NodeID]?, avoiding: [NodeID] = []) throws -> SelectedPath {
            try selector.select(
                terminal: .exit([]), avoiding: avoiding, only: only, guards: &guards, health: NodeHealth(), at: now,
                using: &generator)
        }
        // The first two guards are in use; a third one was drawn while they rested.
        _ = try select(nil)
        let used = guards.primaries.map(\.node)
        for node in used { guards.failed(node, at: now) }
        let third = try select(nil).hops[0]
        for node in used { guards.succeeded(node, at: now) }
        let sample = guards.sample.map(\.node)
        #expect(sample == used + [third] && selector.workingGuards(of: guards, at: now) == used)
        #expect(try select(nil, avoiding: used).hops[0] == third, "what builds of sessions may do")
        for _ in 0..<50 {
            #expect(try used.contains(select(used, avoiding: used).hops[0]))
            #expect(try select([used[1]], avoiding: [used[1]]).hops[0] == used[1])
        }
        guards.failed(used[0], at: now)
        #expect(selector.workingGuards(of: guards, at: now) == [used[1]])
        #expect(try select(used, avoiding: [used[1]]).hops[0] == used[1])
        guards.failed(used[1], at: now)
        #expect(selector.workingGuards(of: guards, at: now).isEmpty)
        #expect(throws: PathRefusal.noGuard) { try select(used) }
        #expect(throws: PathRefusal.noGuard) { try select([]) }
        #expect(guards.sample.map(\.node) == sample)
    }

    @Test("a guard is one that this machine reaches, and any two hops have a family in common", arguments: [4, 6])
    func families(_ family: Int) throws {
        var town = Town(count: 90)
        // A third of the nodes have IPv4, a third IPv6, a third both.
        for (i, signed) in town.descriptors.enumerated() where i % 3 > 0 {
            var changed = signed.descriptor
            changed.ipv6 = Endpoint(address: IPAddress(high: 0x2a00_0000 + UInt64(i) << 32, low: 1), port: 1090)
            if i % 3 == 1 { changed.ipv4 = nil }
            changed.roles = .exit
            changed.exit = .tcp
            town.descriptors[i] = SignedDescriptor(changed, signature: [UInt8](repeating: 0, count: 64))
        }
        let selector = town.selector {
            $0.hasIPv4 = family == 4
            $0.hasIPv6 = family == 6
        }
        let descriptors = Dictionary(uniqueKeysWithValues: town.descriptors.map { ($0.descriptor.node, $0.descriptor) })
        var generator = SeededGenerator(seed: UInt64(family))
        for _ in 0..<500 {
            var guards = Guards()
            let path = try selector.select(
                terminal: .exit(.tcp), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            let hops = path.hops.compactMap { descriptors[$0] }
            #expect((family == 4 ? hops[0].ipv4 : hops[0].ipv6) != nil)
            for a in hops {
                for b in hops { #expect(a.ipv4 != nil && b.ipv4 != nil || a.ipv6 != nil && b.ipv6 != nil) }
            }
        }
    }

    @Test func p3GuardsStayWithinTwo() throws {
        let town = Town(count: 200)
        let selector = town.selector()
        var generator = SeededGenerator(seed: 3)
        var guards = Guards()
        var seen: Set<NodeID> = []
        for _ in 0..<draws / 4 {
            let path = try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            seen.insert(path.hops[0])
            guards.succeeded(path.hops[0], at: now)
        }
        #expect(seen.count == 2)
        #expect(Set(guards.sample.map(\.node)) == seen)
    }

    @Test func p3AnAdversaryWhoBlocksGuardsMeetsABound() throws {
        let town = Town(count: 200)
        let selector = town.selector()
        var generator = SeededGenerator(seed: 4)
        var guards = Guards()
        var time = now
        for _ in 0..<2_000 {
            let path = try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: time, using: &generator)
            guards.failed(path.hops[0], at: time)
            time.seconds += 1
        }
        #expect(guards.sample.count == Guards.maximumSample)
    }

    @Test func aSecondLegSharesNothingWhereTheNetworkIsLargeEnough() throws {
        let town = Town(count: 30)
        let selector = town.selector()
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<500 {
            var guards = Guards()
            let first = try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            let second = try selector.select(
                terminal: .node(first.hops[2]), avoiding: Array(first.hops.prefix(2)), guards: &guards,
                health: NodeHealth(), at: now, using: &generator)
            #expect(second.relaxation == .nothing && second.hops[2] == first.hops[2])
            #expect(Set(first.hops).intersection(second.hops) == [first.hops[2]])
        }
    }

    @Test func inASmallNetworkDisjointnessGivesWayAndNothingElse() throws {
        for (count, relaxation) in [(3, [Relaxation.sharedMiddle, .sharedGuard]), (4, [.nothing, .sharedMiddle])] {
            let town = Town(count: count, exitEvery: 1)
            let selector = town.selector()
            var generator = SeededGenerator(seed: 6)
            for _ in 0..<200 {
                var guards = Guards()
                let first = try selector.select(
                    terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
                let second = try selector.select(
                    terminal: .node(first.hops[2]), avoiding: Array(first.hops.prefix(2)), guards: &guards,
                    health: NodeHealth(), at: now, using: &generator)
                #expect(relaxation.contains(second.relaxation))
                #expect(Set(second.hops).count == 3 && second.hops[2] == first.hops[2])
            }
        }
    }

    @Test func p1OperatorsAndRangesNeverGiveWay() {
        var generator = SeededGenerator(seed: 7)
        for town in [Town(count: 20, perOperator: 10), Town(count: 20, perRange: 10)] {
            var guards = Guards()
            #expect(throws: PathRefusal.tooFewNodes) {
                try town.selector().select(
                    terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            }
            let lenient = town.selector {
                $0.requireOperatorDiversity = false
                $0.requireAddressDiversity = false
            }
            #expect(throws: Never.self) {
                try lenient.select(
                    terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            }
        }
    }

    @Test func onlyStakedNodesAreHops() {
        let town = Town(count: 10, suspended: [1, 2])
        #expect(town.selector().count == 8)
        #expect(!town.selector().knows(town.node(1)))
        #expect(town.selector().count(for: .exit([.tcp])) == 4)
        #expect(town.selector().count(for: .exit([.udp])) == 0)
    }

    @Test func failingNodesAreAvoidedWhileThereAreOthers() throws {
        let town = Town(count: 12, exitEvery: 1)
        let selector = town.selector()
        var generator = SeededGenerator(seed: 8)
        var guards = Guards()
        var health = NodeHealth()
        for i in 0..<6 { for _ in 0..<4 { health.unreachable(town.node(i), at: now) } }
        let bad = Set((0..<6).map(town.node))
        for _ in 0..<1_000 {
            let path = try selector.select(
                terminal: .exit([]), guards: &guards, health: health, at: now, using: &generator)
            #expect(bad.isDisjoint(with: path.hops.dropFirst()))
        }
        for i in 6..<12 { for _ in 0..<4 { health.unreachable(town.node(i), at: now) } }
        let path = try selector.select(
            terminal: .exit([]), guards: &guards, health: health, at: now, using: &generator)
        #expect(path.relaxation == .unhealthy)
    }

    @Test func aRefusalCountsAgainstItsAuthorAtLeastAsMuch() {
        for reason in NodeHealth.Reason.allCases {
            let (author, named) = (NodeID(bytes32(1, 1)), NodeID(bytes32(1, 2)))
            var health = NodeHealth()
            health.refused(by: author, next: named, reason: reason, at: now)
            #expect(health.count(of: author, at: now) >= health.count(of: named, at: now))
            #expect(health.count(of: author, at: now) > 0)
        }
    }

    @Test func penaltiesFadeAndSurviveARestart() {
        let node = NodeID(bytes32(1, 1))
        var health = NodeHealth()
        for _ in 0..<4 { health.unreachable(node, at: now) }
        #expect(health.count(of: node, at: now) >= NodeHealth.avoidancePenalties)
        let later = UnixTime(seconds: now.seconds + 600)
        #expect(abs(health.count(of: node, at: later) - 2) < 0.01)
        let restored = NodeHealth(rows: health.rows + [NodeRow(node: NodeID(bytes32(1, 2)), bytes: [9])], at: later)
        #expect(abs(restored.count(of: node, at: later) - 2) < 0.01)
        #expect(NodeHealth(rows: health.rows, at: UnixTime(seconds: now.seconds + 100_000)).rows.isEmpty)
        health.succeeded([node], at: now)
        #expect(health.count(of: node, at: now) < NodeHealth.avoidancePenalties)
    }

    @Test func choicesFollowFromTheSeed() throws {
        let town = Town(count: 50)
        let selector = town.selector()
        func run() throws -> [SelectedPath] {
            var generator = SeededGenerator(seed: 9)
            var guards = Guards()
            return try (0..<50).map { _ in
                try selector.select(
                    terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            }
        }
        #expect(try run() == run())
    }
}

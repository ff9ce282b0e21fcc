import SeededRandom
import Testing
import Wire

@testable import Directory

/// Guards that let builds succeed and end the ready paths, and guards that refuse builds.
struct GuardRecordTests {
    /// A client that builds paths with its two guards, four second hops and 20 exits.
    private struct Model {
        var generator: SeededGenerator
        var guards = Guards()
        let town = Town(count: 60)
        let selector: PathSelector
        /// The number of ready paths through each guard so far, and the guards that were set aside.
        var paths: [NodeID: Int] = [:]
        var aside: [NodeID] = []
        var levels: [PathBias.Level] = []

        init(_ seed: UInt64) throws {
            generator = SeededGenerator(seed: seed)
            selector = town.selector()
            _ = try path()
        }

        mutating func path() throws -> [NodeID] {
            try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator
            ).hops
        }

        /// A path like the selector's, but without its passes over all nodes.
        mutating func drawn() -> [NodeID] {
            [
                guards.primaries.randomElement(using: &generator)!.node,
                guards.inner.members.randomElement(using: &generator)!.node,
                town.node(3 * Int.random(in: 0..<20, using: &generator)),
            ]
        }

        mutating func chance(_ share: Double) -> Bool { Double.random(in: 0...1, using: &generator) < share }

        mutating func end(_ number: UInt64, _ hops: [NodeID], _ end: PathLoss) {
            let (level, isSetAside) = guards.pathEnded(number, through: hops[0], end)
            if let level { levels.append(level) }
            if isSetAside { aside.append(hops[0]) }
        }

        /// Builds and counts a path, and ends it as `ends` returns.
        mutating func build(_ ends: (inout Model, [NodeID]) -> PathLoss?) {
            let hops = drawn()
            if let level = guards.builtPath(through: hops[0], succeeded: true) { levels.append(level) }
            let number = guards.pathReady(hops)
            paths[hops[0], default: 0] += 1
            if let end = ends(&self, hops) { self.end(number, hops, end) }
        }
    }

    @Test(
        "s05: on a network where many paths die, and links with several paths, no guard is set aside",
        arguments: [(0.1, 6), (0.3, 3)])
    func badNetwork(_ share: Double, _ seeds: Int) throws {
        for seed in 0..<UInt64(seeds) {
            var model = try Model(seed)
            var standing: [(number: UInt64, hops: [NodeID])] = []
            for _ in 0..<600 where model.aside.isEmpty {
                if model.chance(0.05), let lost = model.guards.primaries.randomElement(using: &model.generator)?.node {
                    // A link is lost: its young paths count as one fault.
                    let own = standing.filter { $0.hops[0] == lost }
                    for (place, path) in own.enumerated() {
                        model.end(path.number, path.hops, place == 0 ? .young : .unknown)
                    }
                    standing.removeAll { $0.hops[0] == lost }
                }
                let hops = model.drawn()
                if let level = model.guards.builtPath(through: hops[0], succeeded: true) { model.levels.append(level) }
                let number = model.guards.pathReady(hops)
                if model.chance(share) {
                    model.end(number, hops, model.chance(0.7) ? .young : .early)
                } else {
                    standing.append((number, hops))
                    if standing.count > 6 { standing.removeFirst() }
                }
            }
            #expect(model.aside.isEmpty, "seed \(seed)")
            if share <= 0.1 { #expect(model.levels.isEmpty, "seed \(seed): \(model.levels)") }
        }
    }

    /// The number of ready paths within which a guard that ends four of five is found.
    private static let mostPaths = 80

    @Test("s05: a guard that ends the ready paths without a friend behind them is set aside within 80 of them")
    func endsWithoutFriend() throws {
        var most = 0
        for seed in 0..<60 as Range<UInt64> {
            var model = try Model(seed)
            let (hostile, friends) = (model.guards.primaries[0].node, Set((0..<4).map { model.town.node(15 * $0) }))
            while model.aside.isEmpty, model.paths[hostile, default: 0] < 300 {
                model.build { model, hops in
                    if hops[0] == hostile { return friends.contains(hops[2]) ? nil : .young }
                    return model.chance(0.1) ? .young : nil
                }
            }
            #expect(model.aside == [hostile], "seed \(seed)")
            most = max(most, model.paths[hostile, default: 0])
            // It is no longer a guard in use. Another one is drawn when the next path is selected.
            #expect(!model.guards.primaries.contains { $0.node == hostile })
            for _ in 0..<4 { #expect(try model.path()[0] != hostile) }
            #expect(model.guards.primaries.count == Guards.primaryCount && model.guards.sample.count == 3)
            // It stays set aside after a restart.
            let kept = Guards(rows: model.guards.rows, inner: model.guards.innerRows)
            #expect(kept.primaries.map(\.node) == model.guards.primaries.map(\.node))
        }
        #expect(most <= Self.mostPaths, "\(most) paths")
    }

    @Test("s05: one second hop, or two of the four, and an exit with much weight, have no honest guard set aside")
    func noneElseSetsAGuardAside() throws {
        for seed in 0..<4 as Range<UInt64> {
            for hostileMiddles in 1...2 {
                var model = try Model(seed)
                let victim = model.guards.primaries[0].node
                let middles = Set(model.guards.inner.members.prefix(hostileMiddles).map(\.node))
                for _ in 0..<400 {
                    model.build { model, hops in
                        hops[0] == victim && middles.contains(hops[1]) || model.chance(0.05) ? .young : nil
                    }
                }
                #expect(model.aside.isEmpty, "seed \(seed): \(hostileMiddles) second hops")
            }
            var model = try Model(seed)
            let (victim, exit) = (model.guards.primaries[0].node, model.town.node(3))
            for _ in 0..<400 {
                let isHeavy = model.chance(0.6)
                model.build { model, hops in hops[0] == victim && isHeavy && hops[2] == exit ? .young : nil }
            }
            #expect(model.aside.isEmpty, "seed \(seed)")
        }
    }

    @Test("s05: two guards are set aside at most, and one is where no other shows that it is the guard")
    func bounds() throws {
        var model = try Model(7)
        let alone = Set(model.guards.primaries.map(\.node))
        // Both guards end everything: the network may be down.
        for _ in 0..<400 { model.build { _, _ in .young } }
        #expect(model.aside.isEmpty && model.levels.contains(.extreme))
        #expect(Set(model.guards.primaries.map(\.node)) == alone)
        model = try Model(8)
        let good = model.guards.primaries[0].node
        for _ in 0..<1_000 {
            model.build { _, hops in hops[0] == good ? nil : .young }
            _ = try model.path()
        }
        #expect(model.aside.count == Guards.maximumSetAside && model.guards.sample.count == 4)
        #expect(model.guards.primaries.first?.node == good)
    }

    @Test("s05: a path that others end is no success of its guard's: the bias follows it to its end")
    func biasFollowsPaths() throws {
        var model = try Model(9)
        for _ in 0..<400 { model.build { model, _ in model.chance(0.6) ? .young : nil } }
        #expect(model.levels.contains(.warning), "\(model.levels)")
        // A path that ends later is half a fault; an end that says nothing about the guard is none.
        var other = try Model(10)
        for _ in 0..<400 { other.build { _, _ in .unknown } }
        #expect(other.levels.isEmpty)
        for _ in 0..<600 { other.build { _, _ in .early } }
        #expect(other.aside.isEmpty && other.levels.first == .notice)
    }

    @Test("R3: a guard that refuses builds for itself stays in use and gets no third beside it, until that has lasted")
    func refusals() throws {
        for seed in 0..<3 as Range<UInt64> {
            var model = try Model(seed)
            let primaries = model.guards.primaries.map(\.node)
            let next = model.guards.inner.members[0].node
            var time = now
            // For an hour, both guards refuse a quarter of the builds, then all of them for some minutes.
            for second in stride(from: 0, through: 3_750, by: 10) as StrideThrough<UInt64> {
                time.seconds = now.seconds + second
                let hops = try model.selector.select(
                    terminal: .exit([]), guards: &model.guards, health: NodeHealth(), at: time, using: &model.generator
                ).hops
                #expect(primaries.contains(hops[0]), "seed \(seed), second \(second)")
                if second >= 3_600 || model.chance(0.25) {
                    model.guards.refused(hops[0], next: hops[1], at: time)
                } else {
                    model.guards.accepted(hops[0], next: hops[1])
                    model.guards.succeeded(hops[0], at: time)
                }
            }
            #expect(model.guards.sample.count == Guards.primaryCount, "seed \(seed)")
            #expect(
                model.guards.sample.allSatisfy { $0.bias.attempts == 0 && $0.failures == 0 },
                "seed \(seed): \(model.guards.sample.map { ($0.bias.attempts, $0.failures, $0.refusals) })")
            // While one guard pauses, the other one is preferred.
            var pausing = try Model(seed)
            pausing.guards.refused(primaries[0], next: next, at: now)
            for _ in 0..<10 { #expect(try pausing.path()[0] == primaries[1]) }
            // A guard that refuses all builds to one second hop for ten minutes rests, so it cannot choose the second
            // hop.
            for second in stride(from: 0, through: 700, by: 20) as StrideThrough<UInt64> {
                let moment = UnixTime(seconds: now.seconds + second)
                pausing.guards.refused(primaries[0], next: next, at: moment)
                pausing.guards.accepted(primaries[0], next: primaries[1])
                let rests = pausing.guards.sample[0].isResting(at: moment)
                #expect(rests == (second >= Guards.lasting.seconds), "second \(second)")
            }
        }
    }

    @Test("s07: one guard's word leads to no second hop outside of the set, however it lies")
    func oneGuardCannotWidenTheSet() throws {
        for seed in 0..<5 as Range<UInt64> {
            var model = try Model(seed)
            let liar = model.guards.primaries[0].node
            let first = Set(model.guards.inner.members.map(\.node))
            var time = now
            for _ in 0..<300 {
                let hops = try model.selector.select(
                    terminal: .exit([]), guards: &model.guards, health: NodeHealth(), at: time, using: &model.generator
                ).hops
                #expect(first.contains(hops[1]), "seed \(seed)")
                if hops[0] == liar {
                    let isBroken = model.chance(0.3)
                    model.guards.inner.refused(
                        hops, hop: isBroken ? 1 : 0,
                        reason: isBroken
                            ? nil
                            : [.nextHopUnreachable, .nextHopFailed, .unknownNextHop].randomElement(
                                using: &model.generator), at: time)
                } else if model.chance(0.5) {
                    // The other guard is rarely or never used.
                    model.guards.inner.succeeded(hops)
                }
                time.seconds += UInt64.random(in: 0...30, using: &model.generator)
            }
            #expect(model.guards.inner.members.count == InnerSet.size)
            // A node's own word counts, and so does the word of both guards.
            time.seconds += InnerSet.failureSpan
            for entry in [liar, model.guards.primaries[1].node] {
                for member in model.guards.inner.members.prefix(3) {
                    model.guards.inner.failed(member.node, by: entry, at: time)
                }
                time.seconds += InnerSet.failureSpan
            }
            _ = try model.selector.select(
                terminal: .exit([]), guards: &model.guards, health: NodeHealth(), at: time, using: &model.generator)
            #expect(model.guards.inner.members.count == InnerSet.size + 1)
        }
    }

    @Test("s06: the days of the inner set go on while there is no guard, and a guard that is drawn then sets back none")
    func innerSetWithoutGuards() throws {
        var model = try Model(3)
        let rows = model.guards.innerRows
        let left = model.guards.inner.members.map(\.left)
        // Only the inner set was kept; there are no rows of guards.
        var kept = Guards(rows: [], inner: rows)
        #expect(kept.counted == now && kept.inner.members.map(\.left) == left)
        kept.age(by: 7_200)
        #expect(kept.inner.members.map(\.left) == left.map { $0 - 7_200 })
        let later = UnixTime(seconds: now.seconds + 86_400)
        _ = try model.selector.select(
            terminal: .exit([]), guards: &kept, health: NodeHealth(), at: later, using: &model.generator)
        #expect(kept.sample.count == 2 && kept.counted.seconds == now.seconds + 7_200)
        kept.ageWhileOff(upTo: later)
        #expect(kept.inner.members.allSatisfy { member in left.contains { $0 == member.left + 86_400 } })
    }

    /// Counts the numbers drawn from it.
    private struct Counting: RandomNumberGenerator {
        var seeded: SeededGenerator
        var calls = 0
        mutating func next() -> UInt64 {
            calls += 1
            return seeded.next()
        }
    }

    @Test("s21: the path of a test costs a bounded number of draws, whether there is one or not")
    func testsAreCheap() {
        let town = Town(count: 40, weight: { UInt32(500 + 37 * $0 % 900) })
        let selector = town.selector { $0.own = [town.node(39)] }
        for seed in 0..<20 as Range<UInt64> {
            for tested in [1, 3, 39, 1_000] {
                var generator = Counting(seeded: SeededGenerator(seed: seed))
                let hops = selector.selectTest(
                    of: town.node(tested), asMiddle: true, terminal: .exit([]), health: NodeHealth(), at: now,
                    using: &generator)
                #expect(tested < 39 || hops == nil)
                // Seven draws for each pair of guard and exit that is tried; none for a node that is no hop of clients.
                #expect(generator.calls <= (tested < 39 ? 600 : 0), "\(generator.calls) draws")
            }
        }
    }
}

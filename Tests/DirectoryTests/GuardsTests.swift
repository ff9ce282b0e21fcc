import Directory
import Testing
import Wire

/// P3: guard discovery; P4: path bias.
struct GuardsTests {
    func filled(_ town: Town, _ generator: inout Seeded, at time: UnixTime = now) throws -> Guards {
        var guards = Guards()
        _ = try town.selector().select(
            terminal: .exit([]), guards: &guards, health: NodeHealth(), at: time, using: &generator)
        return guards
    }

    @Test func p3GuardsLiveFor48To60Days() throws {
        let town = Town(count: 30)
        for seed in 0..<200 as Range<UInt64> {
            var generator = Seeded(seed)
            var guards = try filled(town, &generator)
            for entry in guards.sample {
                #expect(48 * 86_400...60 * 86_400 ~= entry.expires.seconds - now.seconds)
            }
            guards.expire(at: UnixTime(seconds: now.seconds + 48 * 86_400 - 1), using: &generator)
            #expect(guards.sample.count == 2)
            guards.expire(at: UnixTime(seconds: now.seconds + 60 * 86_400), using: &generator)
            #expect(guards.sample.isEmpty)
        }
    }

    @Test func p3AWrongClockDoesNotKeepAGuardForever() throws {
        let town = Town(count: 30)
        var generator = Seeded(1)
        var guards = try filled(town, &generator)
        let past = UnixTime(seconds: now.seconds - 1_000 * 86_400)
        guards.expire(at: past, using: &generator)
        #expect(guards.sample.allSatisfy { $0.expires.seconds - past.seconds <= 60 * 86_400 })
        #expect(guards.sample.count == 2)
    }

    @Test func p3ALostLinkLeavesTheOtherGuardAndNeverDrawsOne() throws {
        let town = Town(count: 30)
        let selector = town.selector()
        var generator = Seeded(3)
        var guards = try filled(town, &generator)
        let primaries = guards.sample.map(\.node)
        guards.lost(primaries[0], at: now)
        for _ in 0..<50 {
            let path = try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            #expect(path.hops[0] == primaries[1])
        }
        // With both links gone it may be our own network: the second one is tried again.
        guards.lost(primaries[1], at: now)
        let path = try selector.select(
            terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
        #expect(path.hops[0] == primaries[1])
        #expect(guards.sample.map(\.node) == primaries)
    }

    @Test func p3APrimaryThatComesBackIsUsedAgain() throws {
        let town = Town(count: 30)
        let selector = town.selector()
        var generator = Seeded(2)
        var guards = try filled(town, &generator)
        let primaries = guards.sample.map(\.node)
        for node in primaries {
            guards.succeeded(node, at: now)
            guards.failed(node, at: now)
        }
        let fallback = try selector.select(
            terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator
        ).hops[0]
        #expect(!primaries.contains(fallback))
        guards.succeeded(fallback, at: now)
        #expect(guards.sample.prefix(2).map(\.node) == primaries)
        let later = UnixTime(seconds: now.seconds + 3_600)
        for _ in 0..<50 {
            let path = try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: later, using: &generator)
            #expect(primaries.contains(path.hops[0]))
        }
    }

    @Test func rowsSurviveARestart() throws {
        let town = Town(count: 30)
        var generator = Seeded(3)
        var guards = try filled(town, &generator)
        guards.succeeded(guards.sample[1].node, at: now)
        _ = guards.builtPath(through: guards.sample[0].node, succeeded: false)
        let restored = Guards(rows: guards.rows.shuffled(using: &generator) + [NodeRow(node: town.node(0), bytes: [1])])
        #expect(restored.sample.map(\.node) == guards.sample.map(\.node))
        #expect(restored.sample.map(\.expires) == guards.sample.map(\.expires))
        #expect(restored.sample.map(\.confirmed) == guards.sample.map(\.confirmed))
        #expect(restored.sample[0].bias.attempts == 1)
        #expect(town.selector().missingGuards(of: restored).isEmpty)
    }

    @Test func p4BiasIsToldOnceForEachLevel() throws {
        var generator = Seeded(4)
        var guards = try filled(Town(count: 30), &generator)
        let node = guards.sample[0].node
        var levels: [PathBias.Level] = []
        for build in 0..<1_500 {
            if let level = guards.builtPath(through: node, succeeded: build < 130) { levels.append(level) }
        }
        #expect(levels == [.notice, .warning, .extreme])
        let other = guards.sample[1].node
        for build in 0..<1_000 { #expect(guards.builtPath(through: other, succeeded: build % 10 != 0) == nil) }
        #expect(guards.sample[1].bias.attempts <= 300)
    }
}

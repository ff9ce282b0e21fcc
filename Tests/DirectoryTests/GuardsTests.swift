import Directory
import SeededRandom
import Testing
import Wire

/// Guards (P3: guard discovery) and their bias (P4: path bias).
struct GuardsTests {
    func filled(_ town: Town, _ generator: inout SeededGenerator, at time: UnixTime = now) throws -> Guards {
        var guards = Guards()
        _ = try town.selector().select(
            terminal: .exit([]), guards: &guards, health: NodeHealth(), at: time, using: &generator)
        return guards
    }

    @Test func p3GuardsLiveFor48To60Days() throws {
        let town = Town(count: 30)
        for seed in 0..<200 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var guards = try filled(town, &generator)
            for entry in guards.sample { #expect(48 * 86_400...60 * 86_400 ~= entry.left) }
            guards.age(by: 48 * 86_400 - 1)
            #expect(guards.sample.count == 2)
            guards.age(by: 12 * 86_400 + 1)
            #expect(guards.sample.isEmpty)
        }
    }

    @Test func p3AWrongClockDoesNotKeepAGuardForever() throws {
        let town = Town(count: 30)
        var generator = SeededGenerator(seed: 1)
        var guards = try filled(town, &generator)
        // The guards were drawn under a clock that was years ahead, and are counted under one that is years behind.
        guards.ageWhileOff(upTo: UnixTime(seconds: now.seconds - 1_000 * 86_400))
        #expect(guards.sample.count == 2)
        guards.age(by: 60 * 86_400)
        #expect(guards.sample.isEmpty)
    }

    @Test("s06: a clock that jumps drops no guard") func s06AJumpDropsNoGuard() throws {
        let town = Town(count: 30)
        var generator = SeededGenerator(seed: 5)
        var guards = try filled(town, &generator)
        let before = guards.sample.map(\.node)
        for days in [61, 400, 20_000] as [UInt64] {
            let later = UnixTime(seconds: now.seconds + days * 86_400)
            _ = try town.selector().select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: later, using: &generator)
            #expect(guards.sample.map(\.node) == before)
        }
    }

    @Test("s06: the days for which a machine is off count, once, and a clock that goes back adds none")
    func s06AMachineThatWasOff() throws {
        var generator = SeededGenerator(seed: 6)
        let guards = try filled(Town(count: 30), &generator)
        var restored = Guards(rows: guards.rows)
        #expect(restored.counted == now)
        restored.age(by: 86_400)
        restored.ageWhileOff(upTo: UnixTime(seconds: now.seconds + 40 * 86_400))
        #expect(zip(restored.sample, guards.sample).allSatisfy { $0.left == $1.left - 40 * 86_400 })
        restored.ageWhileOff(upTo: UnixTime(seconds: now.seconds))
        restored = Guards(rows: restored.rows)
        restored.ageWhileOff(upTo: UnixTime(seconds: now.seconds + 40 * 86_400))
        #expect(zip(restored.sample, guards.sample).allSatisfy { $0.left == $1.left - 40 * 86_400 })
        restored.ageWhileOff(upTo: UnixTime(seconds: now.seconds + 60 * 86_400))
        #expect(restored.sample.isEmpty)
    }

    @Test func rowsOfVersion1HaveDates() throws {
        let town = Town(count: 3)
        func row(_ place: UInt8, from: UInt64, to: UInt64) -> NodeRow {
            var writer = ByteWriter()
            writer.u8(1)
            writer.u8(place)
            for value in [now.seconds + from, now.seconds + to, 0, 0, 0] { writer.u64(value) }
            return NodeRow(node: town.node(Int(place)), bytes: writer.bytes)
        }
        let rows = [row(0, from: 0, to: 4_000_000), row(1, from: 86_400, to: 4_500_000), row(2, from: 9, to: 5)]
        let guards = Guards(rows: rows)
        #expect(guards.sample.map(\.left) == [4_000_000 - 86_400, 4_500_000 - 86_400])
        #expect(guards.counted.seconds == now.seconds + 86_400)
    }

    @Test func p3ALostLinkLeavesTheOtherGuardAndNeverDrawsOne() throws {
        let town = Town(count: 30)
        let selector = town.selector()
        var generator = SeededGenerator(seed: 3)
        var guards = try filled(town, &generator)
        let primaries = guards.sample.map(\.node)
        guards.lost(primaries[0], at: now)
        for _ in 0..<50 {
            let path = try selector.select(
                terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
            #expect(path.hops[0] == primaries[1])
        }
        // With both links lost, this machine's network may be down: the second guard is tried again.
        guards.lost(primaries[1], at: now)
        let path = try selector.select(
            terminal: .exit([]), guards: &guards, health: NodeHealth(), at: now, using: &generator)
        #expect(path.hops[0] == primaries[1])
        #expect(guards.sample.map(\.node) == primaries)
    }

    /// Many builds wait for one link, so their failures together cause one rest.
    ///
    /// Otherwise a guard that restarts within 20 s would rest for half an hour, and a third guard would replace it.
    @Test func p3FailuresAtOnceCountOnce() throws {
        let town = Town(count: 30)
        var generator = SeededGenerator(seed: 4)
        var guards = try filled(town, &generator)
        let primary = guards.sample[0].node
        guards.succeeded(primary, at: now)
        for second in [0, 3, 6, 12] as [UInt64] {
            for _ in 0..<8 { guards.failed(primary, at: UnixTime(seconds: now.seconds + second)) }
        }
        #expect(guards.sample[0].failures == 3)
        #expect(guards.sample[0].restsUntil == UnixTime(seconds: now.seconds + 12 + 40))
        // A guard that fails again after its rest rests longer each time.
        guards.failed(primary, at: UnixTime(seconds: now.seconds + 60))
        #expect(guards.sample[0].restsUntil == UnixTime(seconds: now.seconds + 60 + 80))
    }

    @Test func p3APrimaryThatComesBackIsUsedAgain() throws {
        let town = Town(count: 30)
        let selector = town.selector()
        var generator = SeededGenerator(seed: 2)
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
        var generator = SeededGenerator(seed: 3)
        var guards = try filled(town, &generator)
        guards.succeeded(guards.sample[1].node, at: now)
        _ = guards.builtPath(through: guards.sample[0].node, succeeded: false)
        let restored = Guards(rows: guards.rows.shuffled(using: &generator) + [NodeRow(node: town.node(0), bytes: [1])])
        #expect(restored.sample.map(\.node) == guards.sample.map(\.node))
        #expect(restored.sample.map(\.left) == guards.sample.map(\.left))
        #expect(restored.sample.map(\.confirmed) == guards.sample.map(\.confirmed))
        #expect(restored.sample[0].bias.attempts == 1)
        #expect(town.selector().missingGuards(of: restored).isEmpty)
    }

    @Test func rowsWithCountsBelowZeroAreLeftOut() throws {
        for (attempts, successes) in [(-1.0, -2.0), (-1, 0), (.nan, 0), (5, .nan), (5, -1), (5, 6), (.infinity, 1)] {
            var writer = ByteWriter()
            writer.u8(2)
            writer.u8(0)
            for value in [now.seconds, 4_000_000, 0, attempts.bitPattern, successes.bitPattern] { writer.u64(value) }
            #expect(Guards(rows: [NodeRow(node: NodeID(bytes32(2, 1)), bytes: writer.bytes)]).sample.isEmpty)
        }
    }

    @Test func p4BiasIsToldOnceForEachLevel() throws {
        var generator = SeededGenerator(seed: 4)
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

import SeededRandom
import Testing
import Wire

@testable import Client

/// The legs that a session builds to replace lost ones, and the losses that end its trust in an exit.
@Suite struct ExitTrustTests {
    private func node(_ number: UInt64) -> NodeID {
        var writer = ByteWriter()
        for part in [number, 1, 2, 3] as [UInt64] { writer.u64(part) }
        return NodeID(Bytes32(copying: writer.bytes.rawSpan))
    }

    private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64((seconds + 1_000) * 1e9)) }

    @Test("s07: three legs that die young over two middles end the trust in an exit, for half an hour")
    func threeLegs() {
        var trust = ExitTrust()
        let exit = node(0)
        trust.lost(exit, behind: node(1), over: node(8), since: at(0), at: at(10))
        trust.lost(exit, behind: node(2), over: node(9), since: at(10), at: at(11))
        #expect(!trust.isDistrusted(exit, at: at(12)))
        trust.lost(exit, behind: node(1), over: node(8), since: at(11), at: at(12))
        #expect(trust.isDistrusted(exit, at: at(12)) && trust.distrusted(at: at(12)) == [exit])
        #expect(trust.isDistrusted(exit, at: at(12), since: at(0)))
        // A session that began after the losses keeps the exit: it had no other.
        #expect(!trust.isDistrusted(exit, at: at(14), since: at(13)))
        trust.distrust(exit, at: at(100))
        #expect(!trust.isDistrusted(exit, at: at(101), since: at(13)))
        #expect(!trust.isDistrusted(exit, at: at(12 + 1_800)))
    }

    @Test("s07: one middle alone, however many legs it takes along or ends, and old losses, cost no exit its trust")
    func oneMiddle() {
        var trust = ExitTrust()
        let exit = node(0)
        for leg in 0..<50 { trust.lost(exit, behind: node(1), over: nil, since: at(Double(leg % 5)), at: at(10)) }
        trust.lost(exit, behind: node(2), over: nil, since: at(5), at: at(20))
        #expect(!trust.isDistrusted(exit, at: at(20)))
        for time in 21..<60 as Range<Int> {
            var one = ExitTrust()
            for leg in 0..<time {
                one.lost(exit, behind: node(1), over: nil, since: at(Double(leg)), at: at(Double(leg) + 0.5))
            }
            #expect(!one.isDistrusted(exit, at: at(60)))
        }
        trust.lost(exit, behind: node(3), over: nil, since: at(700), at: at(700))
        #expect(!trust.isDistrusted(exit, at: at(700)))
    }

    @Test("s07: what is remembered of exits has a bound")
    func bound() {
        var trust = ExitTrust()
        for number in 0..<2_000 as Range<UInt64> {
            trust.lost(node(number), behind: node(5_000), over: nil, since: at(Double(number)), at: at(Double(number)))
            trust.distrust(node(number), at: at(Double(number) / 100))
        }
        #expect(trust.distrusted(at: at(20)).count == ExitTrust.maximum)
        #expect(trust.isDistrusted(node(1_999), at: at(20)) && !trust.isDistrusted(node(0), at: at(20)))
    }

    @Test(
        "s07: two legs are replaced in a period, which doubles while it is used up; without a leg one is built at once")
    func periods() {
        var losses = LegLosses()
        var built: [Double] = []
        var time = 0.0
        // A first standby leg does not replace another leg.
        for _ in 0..<3 {
            let isBuilt = losses.mayBuild(isLegless: false, at: at(0))
            #expect(isBuilt)
        }
        // The exit ends each standby leg when the leg is no longer young, and too slowly to end the session.
        while time < 3_600 {
            losses.lost(middle: nil, over: nil, at: at(time))
            while !losses.mayBuild(isLegless: false, at: at(time)), time < 3_600 { time += 1 }
            built.append(time)
            time += 1
        }
        #expect(built.count < 16, "\(built)")
        losses.lost(middle: node(1), over: nil, at: at(time))
        let isBuilt = losses.mayBuild(isLegless: true, at: at(time))
        #expect(isBuilt)
        #expect(losses.middlesToAvoid(at: at(time)) == [node(1)])
        #expect(losses.middlesToAvoid(at: at(time + 600)).isEmpty)
        // After a quiet time the first period applies again.
        time += 5_000
        losses.lost(middle: nil, over: nil, at: at(time))
        losses.lost(middle: nil, over: nil, at: at(time))
        for isExpected in [true, true] {
            let isBuilt = losses.mayBuild(isLegless: false, at: at(time))
            #expect(isBuilt == isExpected)
        }
    }

    @Test("s07: one guard that ends each leg over it costs no exit its trust, and ends no session that has another leg")
    func oneGuard() {
        var trust = ExitTrust()
        var losses = LegLosses()
        let exit = node(0)
        // In ten minutes, a session that has a leg over one guard builds a leg over the other guard at these times.
        for (leg, time) in [0, 15, 45, 105, 225, 465].enumerated() {
            trust.lost(
                exit, behind: node(UInt64(1 + leg % 4)), over: node(9), since: at(Double(time)),
                at: at(Double(time) + 1))
            losses.lost(middle: node(UInt64(1 + leg % 4)), over: node(9), at: at(Double(time) + 1))
        }
        #expect(!trust.isDistrusted(exit, at: at(467)) && !losses.isOver(at: at(467)))
        // An exit that also ends a leg over the other guard loses its trust.
        trust.lost(exit, behind: node(5), over: node(8), since: at(467), at: at(468))
        losses.lost(middle: node(5), over: node(8), at: at(468))
        #expect(trust.isDistrusted(exit, at: at(468)) && losses.isOver(at: at(468)))
        // A session with a single guard does end at last, and does not blame its exit.
        var alone = LegLosses()
        for leg in 0..<LegLosses.limitOfOneGuard {
            #expect(!alone.isOver(at: at(20)))
            alone.lost(middle: nil, over: node(9), at: at(Double(leg)))
        }
        #expect(alone.isOver(at: at(20)) && !alone.isExitsDoing(at: at(20)))
    }

    @Test("s07: what an exit says itself counts whatever guard it came over")
    func ownWord() {
        var trust = ExitTrust()
        var losses = LegLosses()
        for leg in 0..<3 as Range<UInt64> {
            trust.lost(node(0), behind: node(1 + leg), over: nil, since: at(Double(leg)), at: at(Double(leg) + 0.5))
        }
        for _ in 0..<LegLosses.limit { losses.lost(middle: nil, over: nil, at: at(3)) }
        #expect(trust.isDistrusted(node(0), at: at(3)) && losses.isExitsDoing(at: at(3)))
    }

    @Test("s07: the guard over which more paths end is passed over, longer each time; of equal ones none is")
    func passedOver() {
        var pauses = GuardPauses()
        let guards = [node(1), node(2)]
        #expect(pauses.passedOver(of: guards, at: at(0)) == nil)
        var passed: [Double] = []
        var time = 0.0
        while time < 1_700 {
            if pauses.passedOver(of: guards, at: at(time)) == nil {
                pauses.lost(over: node(1), at: at(time))
                passed.append(time)
            } else {
                #expect(pauses.passedOver(of: guards, at: at(time)) == node(1))
            }
            time += 1
        }
        #expect(passed == [0, 15, 45, 105, 225, 465, 945], "\(passed)")
        for _ in passed { pauses.lost(over: node(2), at: at(1_700)) }
        #expect(pauses.passedOver(of: guards, at: at(1_700)) == nil)
        #expect(pauses.passedOver(of: [node(1)], at: at(946)) == nil)
        for number in 0..<1_000 as Range<UInt64> { pauses.lost(over: node(number), at: at(1_701)) }
        #expect(pauses.passedOver(of: [node(1), node(900)], at: at(1_702)) == node(1))
    }

    /// A model of `ClientSession` in which a leg is a guard, a middle and a time.
    private struct Model {
        var generator: SeededGenerator
        var trust = ExitTrust()
        var losses = LegLosses()
        var pauses = GuardPauses()
        var legs: [(entry: NodeID, middle: UInt64, since: Double)] = []
        var builds = 0
        var withoutStandby = 0.0
        let exit: NodeID
        let middles: [UInt64]
        let guards: [NodeID]

        /// The guard of the next leg, chosen as `PathPool` chooses it.
        private mutating func entry(_ now: Instant) -> NodeID {
            let passedOver = pauses.passedOver(of: guards, at: now)
            let avoided = passedOver.map { [$0] } ?? legs.map(\.entry)
            let better = guards.filter { !avoided.contains($0) }
            return (better.isEmpty ? guards : better).randomElement(using: &generator)!
        }

        /// Builds missing legs; `isRefused` says whether the exit refuses a build.
        mutating func keep(
            _ time: Double, _ now: Instant, alive: (UInt64) -> Bool, node: (UInt64) -> NodeID,
            isRefused: (inout SeededGenerator) -> Bool
        ) {
            for index in legs.indices.reversed() where time - legs[index].since > 900 { legs.remove(at: index) }
            while legs.count < 2 {
                guard legs.isEmpty || !trust.isDistrusted(exit, at: now), !losses.isOver(at: now),
                    losses.mayBuild(isLegless: legs.isEmpty, at: now)
                else { break }
                let avoided = losses.middlesToAvoid(at: now)
                let usable = middles.filter { middle in alive(middle) && !legs.contains { $0.middle == middle } }
                let better = usable.filter { !avoided.contains(node($0)) }
                guard let middle = (better.isEmpty ? usable : better).randomElement(using: &generator) else { break }
                builds += 1
                let entry = self.entry(now)
                if isRefused(&generator) {
                    losses.lost(middle: node(middle), over: nil, at: now)
                    trust.lost(exit, behind: node(middle), over: nil, since: now, at: now)
                } else {
                    legs.append((entry, middle, time))
                }
            }
            if legs.count < 2 { withoutStandby += 0.2 }
        }

        mutating func lose(_ index: Int, _ time: Double, _ now: Instant, since: Instant, node: (UInt64) -> NodeID) {
            let leg = legs.remove(at: index)
            let isYoung = time - leg.since < 60
            losses.lost(middle: isYoung ? node(leg.middle) : nil, over: leg.entry, at: now)
            if isYoung { trust.lost(exit, behind: node(leg.middle), over: leg.entry, since: since, at: now) }
            pauses.lost(over: leg.entry, at: now)
        }
    }

    @Test(
        "s07: whatever an exit does to legs and builds, it sees a handful of them in ten minutes",
        arguments: 0..<60 as Range<UInt64>)
    func hostileExit(_ seed: UInt64) {
        var model = Model(
            generator: SeededGenerator(seed: seed), exit: node(0), middles: [1, 2, 3, 4], guards: [node(8), node(9)])
        let slowest = Double.random(in: 0.2...400, using: &model.generator)
        let refuses = Double.random(in: 0...1, using: &model.generator)
        let takesAll = Bool.random(using: &model.generator)
        var starts: [Int] = []
        var time = 0.0
        while time < 3_600 {
            model.keep(time, at(time), alive: { _ in true }, node: node) {
                Double.random(in: 0...1, using: &$0) < refuses
            }
            starts.append(model.builds)
            let ten = starts.count > 3_000 ? starts[starts.count - 3_001] : 0
            #expect(model.builds - ten <= 12, "seed \(seed): \(model.builds - ten) builds in ten minutes")
            for index in model.legs.indices.reversed() where takesAll || index > 0 {
                let leg = model.legs[index]
                guard time - leg.since >= Double.random(in: 0...slowest, using: &model.generator) else { continue }
                model.lose(index, time, at(time), since: at(leg.since), node: node)
            }
            // The session is over, or its new streams use another exit.
            if model.losses.isOver(at: at(time)) || model.trust.isDistrusted(node(0), at: at(time)) { break }
            time += 0.2
        }
        if slowest < 60 { #expect(time < 700, "seed \(seed): held for \(time) s") }
    }

    @Test(
        "s07: middles that die cost an honest exit neither trust nor session, and a standby leg is soon there again",
        arguments: 0..<20 as Range<UInt64>)
    func dyingMiddles(_ seed: UInt64) {
        var model = Model(
            generator: SeededGenerator(seed: seed), exit: node(0), middles: [1, 2, 3, 4], guards: [node(8), node(9)])
        var back: [UInt64: Double] = [:]
        var time = 0.0
        while time < 7_200 {
            for middle in model.middles where back[middle] ?? 0 <= time {
                // Each middle dies about once an hour and is away for five minutes.
                guard Double.random(in: 0...1, using: &model.generator) < 0.2 / 3_600 else { continue }
                back[middle] = time + 300
                for index in model.legs.indices.reversed() where model.legs[index].middle == middle {
                    model.lose(index, time, at(time), since: at(model.legs[index].since), node: node)
                }
            }
            model.keep(time, at(time), alive: { back[$0] ?? 0 <= time }, node: node) { _ in false }
            #expect(!model.trust.isDistrusted(node(0), at: at(time)) && !model.losses.isOver(at: at(time)))
            time += 0.2
        }
        #expect(model.withoutStandby < 120, "seed \(seed): \(model.withoutStandby) s")
    }
}

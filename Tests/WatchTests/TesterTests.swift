import OnionCrypto
import Testing
import Wire

@testable import Watch

private let ids = (0..<30).map { NodeID(key($0).publicKey) }

private func tester(_ count: Int = 30, seed: UInt64 = 1) -> Tester {
    var tester = Tester(timing: .init(epochSeconds: 60), seed: seed, now: instant(0))
    tester.follow(Array(ids.prefix(count)))
    return tester
}

struct TesterTests {
    @Test func everyNodeIsTestedInTime() {
        var tester = tester()
        var seen: Set<NodeID> = []
        for second in 0..<600 {
            while let node = tester.next(instant(Double(second))) {
                seen.insert(node)
                tester.finished(node, .passed(capacity: nil), at: .first(mayHide: false), now: instant(Double(second)))
            }
        }
        #expect(seen.count == 30)
        // A test each second, and a second one for each node that was new.
        #expect(tester.begun > 300 && tester.begun < 1_300)
    }

    @Test func aFailureIsLookedAtAgainEachTimeLater() {
        var tester = tester(1)
        var moments: [Double] = []
        var time = 0.0
        while time < 200 {
            if let node = tester.next(instant(time)) {
                tester.finished(node, .failed, at: .first(mayHide: false), now: instant(time))
                moments.append(time)
            }
            time += 0.5
        }
        #expect(tester.isDead(ids[0], now: instant(time)))
        #expect(moments.count > 4)
    }

    @Test("S2: of many nodes a fifth may die at once and is seen to, and half of them blinds", arguments: [60, 150])
    func s2ManyThatDieAtOnce(_ dead: Int) {
        let nodes = (0..<300).map { NodeID(World.hash($0)) }
        var tester = Tester(timing: .init(epochSeconds: 600), seed: 1, now: instant(0))
        tester.follow(nodes)
        let gone = Set(nodes.prefix(dead))
        var blind = 0
        // Thirty epochs, so that it has seen most of them, and ten more.
        for step in 0..<4_800 {
            let now = instant(Double(step) * 5)
            let isOver = step >= 3_600
            while let node = tester.next(now) {
                let isGone = isOver && gone.contains(node)
                tester.finished(
                    node, isGone ? .failed : .passed(capacity: nil), at: .first(mayHide: false), now: now)
            }
            if step >= 4_200, tester.isBlind(among: { _ in true }, now: now) { blind += 1 }
        }
        // Chance has it otherwise at times; a verdict takes seven of ten.
        if dead < 100 {
            #expect(blind < 60 && tester.dead(instant(24_000)).count > dead / 2)
        } else {
            #expect(blind > 450)
        }
    }

    @Test func oneFailureOrTwoAreNoDeath() {
        var tester = tester(1)
        for (count, expected) in [(1, false), (2, false), (3, true)] {
            var time = Double(count) * 20
            while tester.next(instant(time)) == nil { time += 0.5 }
            tester.finished(ids[0], .failed, at: .first(mayHide: false), now: instant(time))
            #expect(tester.isDead(ids[0], now: instant(time)) == expected)
        }
    }

    @Test func whatIsUnclearOnceOrTwiceSaysNothing() {
        var tester = tester(1)
        var count = 0
        for second in 0..<100 where count < 3 {
            if let node = tester.next(instant(Double(second))) {
                tester.finished(node, .unclear, at: .first(mayHide: false), now: instant(Double(second)))
                count += 1
            }
        }
        #expect(!tester.isDead(ids[0], now: instant(100)) && !tester.isWell(ids[0], now: instant(100)))
        #expect(tester.failed == 0)
    }

    @Test func aNodeThatLeadsNowhereFailsInTheEnd() {
        var tester = tester(6)
        for second in 0..<1_200 {
            while let node = tester.next(instant(Double(second))) {
                let isJudged = node == ids[0]
                tester.finished(
                    node, isJudged ? .unclear : .passed(capacity: nil), at: .first(mayHide: false),
                    over: isJudged ? [ids[1 + second % 4], ids[1 + (second + 1) % 4]] : [], now: instant(Double(second))
                )
            }
        }
        #expect(tester.isDead(ids[0], now: instant(1_200)))
    }

    @Test(
        "S2: unclear tests over others that are in doubt, or over fewer than four, say nothing",
        arguments: [
            (4, true), (3, false),
        ])
    func s2OthersFaultsMakeNobodyDead(_ count: Int, _ areOthersInDoubt: Bool) {
        var tester = tester(count + 1)
        for second in 0..<2_000 {
            while let node = tester.next(instant(Double(second))) {
                let isJudged = node == ids[0]
                let outcome: TestOutcome =
                    isJudged ? .unclear : areOthersInDoubt && node == ids[1] ? .failed : .passed(capacity: nil)
                let others = areOthersInDoubt ? [ids[1], ids[2 + second % 3]] : [ids[1 + second % count]]
                tester.finished(
                    node, outcome, at: .first(mayHide: false), over: isJudged ? others : [],
                    now: instant(Double(second)))
            }
        }
        #expect(!tester.isDead(ids[0], now: instant(2_000)))
        #expect(tester.isDead(ids[1], now: instant(2_000)) == areOthersInDoubt)
    }

    @Test("S2: who serves alone passes where the others are in doubt, and they are no excuse where they are not")
    func s2WhoServesAloneIsWell() {
        for areOthersWell in [false, true] {
            var tester = tester(6)
            for second in 0..<2_400 {
                while let node = tester.next(instant(Double(second))) {
                    let isJudged = node == ids[0]
                    tester.finished(
                        node, isJudged ? .unclear : areOthersWell ? .passed(capacity: nil) : .failed,
                        at: .first(mayHide: false), over: isJudged ? Array(ids[1...5]) : [], servesAlone: isJudged,
                        now: instant(Double(second)))
                }
            }
            #expect(tester.isWell(ids[0], now: instant(2_400)) == !areOthersWell)
            #expect(tester.isDead(ids[0], now: instant(2_400)) == areOthersWell)
        }
    }

    @Test("S2: a tester that reaches nobody accuses nobody, however small the network", arguments: [1, 2, 3, 4])
    func s2WhoReachesNobodyIsBlind(_ count: Int) {
        var tester = tester(count)
        for second in 0..<400 {
            while let node = tester.next(instant(Double(second))) {
                tester.finished(node, .failed, at: .first(mayHide: false), now: instant(Double(second)))
            }
        }
        #expect(tester.isBlind(among: { _ in true }, now: instant(400)))
    }

    @Test func oldResultsSayNothing() {
        var tester = tester(1)
        for second in 0..<10 {
            if let node = tester.next(instant(Double(second))) {
                tester.finished(node, .passed(capacity: 7), at: .first(mayHide: false), now: instant(Double(second)))
            }
        }
        #expect(tester.isWell(ids[0], now: instant(10)))
        #expect(!tester.isWell(ids[0], now: instant(10_000)))
        #expect(!tester.wantsCapacity(of: ids[0], now: instant(20)))
        #expect(tester.wantsCapacity(of: ids[0], now: instant(10_000)))
    }

    @Test func whoIsNotWatchedIsForgotten() {
        var tester = tester(3)
        for second in 0..<60 {
            if let node = tester.next(instant(Double(second))) {
                tester.finished(node, .passed(capacity: nil), at: .first(mayHide: false), now: instant(Double(second)))
            }
        }
        #expect(tester.records.count == 3)
        let begun = tester.next(instant(70))
        tester.follow([ids[7]])
        #expect(tester.records.isEmpty)
        // A test that was under way says nothing any more.
        if let begun { tester.finished(begun, .failed, at: .first(mayHide: false), now: instant(71)) }
        #expect(tester.records.isEmpty && tester.failed == 0)
    }

    @Test func testsAtOnceAreBounded() {
        var tester = tester()
        for (number, id) in ids.enumerated() { tester.hurry(id, for: ids[number / 10], now: instant(0)) }
        var begun = 0
        while tester.next(instant(1)) != nil { begun += 1 }
        // Those asked for, and a random one: it has its place whatever is asked for.
        #expect(begun == Tester.hurriedAtOnce + 1)
    }

    @Test func s09WhoAsksForTestsKeepsNobodyFromAsking() {
        var tester = tester()
        for id in ids.prefix(29) { tester.hurry(id, for: ids[0], now: instant(0)) }
        tester.hurry(ids[29], for: ids[1], now: instant(0))
        var seen: [NodeID] = []
        for second in 0..<30 {
            while let node = tester.next(instant(Double(second) / 100)) {
                seen.append(node)
                tester.finished(
                    node, .passed(capacity: nil), at: .first(mayHide: false), now: instant(Double(second) / 100))
            }
        }
        #expect(seen.contains(ids[29]))
        #expect(seen.count <= Tester.hurriedPerSender + 2)
    }

    @Test(arguments: [TestOutcome.passed(capacity: nil), .failed, .refused, .unclear])
    func s09NoNodeIsTestedAgainAtOnce(_ outcome: TestOutcome) {
        var tester = tester(1)
        var begun = 0
        for step in 0..<100 {
            let now = instant(10 + Double(step) / 200)
            tester.hurry(ids[0], for: ids[step % 30], now: now)
            while let node = tester.next(now) {
                begun += 1
                tester.finished(node, outcome, at: .first(mayHide: false), now: now)
            }
        }
        // The one that was asked for, and a random one.
        #expect(begun <= 2)
    }

    /// A tester that knows five nodes that serve, and another.
    private func introduced(seed: UInt64 = 1) -> Tester {
        var tester = tester(6, seed: seed)
        for id in ids.prefix(6) { tester.hurry(id, for: id, now: instant(0)) }
        while let node = tester.next(instant(0)) {
            tester.finished(node, .passed(capacity: nil), at: .first(mayHide: false), now: instant(0))
        }
        return tester
    }

    /// Tests one node for so many seconds, as the tester wants it.
    private func run(
        _ seconds: Double, from start: Double = 0, mayHide: Bool = true, tester: inout Tester,
        _ outcome: (TestPlace, Int) -> TestOutcome
    ) -> Double? {
        let others = tester.records.keys.filter { $0 != ids[0] }.sorted()
        var coin = SeededGenerator(seed: 5)
        var number = 0
        var death: Double?
        for step in Int(start * 2)..<Int((start + seconds) * 2) {
            let now = instant(Double(step) / 2)
            while let node = tester.next(now) {
                guard node == ids[0] else {
                    tester.finished(node, .passed(capacity: nil), at: .first(mayHide: false), now: now)
                    continue
                }
                let isHidden = mayHide && (tester.isToBeHidden(node) ?? Bool.random(using: &coin))
                let place = isHidden ? TestPlace.middle : .first(mayHide: mayHide)
                tester.finished(
                    node, outcome(place, number), at: place,
                    over: others.isEmpty ? [] : [others[number % others.count]],
                    now: now)
                number += 1
            }
            if death == nil, tester.isDead(ids[0], now: now) { death = Double(step) / 2 }
        }
        return death
    }

    @Test(arguments: [1, 2, 3])
    func s27OverloadedThreeTimesOfFourIsMarked(_ offset: Int) throws {
        var tester = tester(1)
        let death = run(600, tester: &tester) { _, number in
            (number + offset).isMultiple(of: 4) ? .passed(capacity: nil) : .refused
        }
        // Not before it has gone on for an epoch.
        let at = try #require(death)
        #expect(at >= 60 && at < 500, "after \(at) s")
        // And it is well again when it serves.
        _ = run(120, from: 600, tester: &tester) { _, _ in .passed(capacity: nil) }
        #expect(tester.isWell(ids[0], now: instant(719)))
    }

    @Test func s27OverloadedForLessThanAnEpochOrOnceInThreeIsNot() {
        var short = tester(1)
        #expect(run(59, tester: &short) { _, _ in .refused } == nil)
        #expect(run(300, from: 59, tester: &short) { _, _ in .passed(capacity: nil) } == nil)
        #expect(short.failed == 0)
        for seed in UInt64(0)..<8 {
            var (tester, random) = (tester(1, seed: seed), SeededGenerator(seed: seed))
            let death = run(3_600, tester: &tester) { _, _ in
                random.next().isMultiple(of: 3) ? .refused : .passed(capacity: nil)
            }
            #expect(death == nil, "seed \(seed)")
        }
    }

    @Test func s21WhoServesOnlyWhereItKnowsTheTesterIsDead() throws {
        for outcome in [TestOutcome.refused, .unclear] {
            var tester = introduced()
            let death = run(900, tester: &tester) { place, _ in place == .middle ? outcome : .passed(capacity: nil) }
            #expect(try #require(death) >= 60)
            // As a suspended node it is tested as first hop alone.
            _ = run(120, from: 900, mayHide: false, tester: &tester) { _, _ in .passed(capacity: nil) }
            #expect(tester.isWell(ids[0], now: instant(1_019)))
        }
    }

    @Test func s21OthersFaultsMakeNoMiddleDead() {
        // Six of ten of what it leads to are hostile to it: more than half, and fewer than three quarters.
        for seed in UInt64(0)..<8 {
            var (tester, random) = (introduced(seed: seed), SeededGenerator(seed: seed))
            let death = run(3_600, tester: &tester) { place, _ in
                place == .middle && random.next() % 10 < 6 ? .unclear : .passed(capacity: nil)
            }
            #expect(death == nil, "seed \(seed)")
        }
    }

    @Test func s21NeighboursThatRefuseBehindANodeDoNotSaveIt() throws {
        // It hands builds on to friends alone, which are a third of what it leads to and refuse them.
        var tester = introduced()
        let death = run(1_800, tester: &tester) { place, number in
            place != .middle ? .passed(capacity: nil) : number.isMultiple(of: 3) ? .passedOn : .unclear
        }
        #expect(try #require(death) >= 60)
    }

    @Test func s21BusyNodesBehindANodeMakeItNeitherDeadNorUnknown() {
        for seed in UInt64(0)..<8 {
            // Most of what a healthy node leads to refuses, and some tests go wrong as well.
            var (busy, random) = (introduced(seed: seed), SeededGenerator(seed: seed))
            let death = run(3_600, tester: &busy) { _, _ in
                switch random.next() % 10 {
                case 0..<7: .passedOn
                case 7: .unclear
                default: .passed(capacity: nil)
                }
            }
            #expect(death == nil, "seed \(seed)")
            #expect(busy.isWell(ids[0], now: instant(3_600)), "seed \(seed)")
        }
        // One that is out comes back although all behind it refuse.
        var out = introduced()
        _ = run(100, mayHide: false, tester: &out) { _, _ in .failed }
        #expect(out.isDead(ids[0], now: instant(100)))
        _ = run(200, from: 100, mayHide: false, tester: &out) { _, _ in .passedOn }
        #expect(out.isWell(ids[0], now: instant(300)))
    }

    /// A first hop drops what leads on; half of its tests go over a node in doubt, and count for it as it serves alone.
    @Test("S2: to serve alone makes nothing good of what a node drops") func s2PassesAloneTakeNothingFromAScore() {
        var tester = tester(7)
        var number = 0
        var death: Double?
        for second in 0..<2_400 where death == nil {
            while let node = tester.next(instant(Double(second))) {
                guard node == ids[0] else {
                    let outcome = node == ids[6] ? TestOutcome.failed : .passed(capacity: nil)
                    tester.finished(node, outcome, at: .first(mayHide: false), now: instant(Double(second)))
                    continue
                }
                let second = second
                let others = number.isMultiple(of: 2) ? [ids[6]] : [ids[1 + number / 2 % 4], ids[5]]
                number += 1
                tester.finished(
                    node, .unclear, at: .first(mayHide: false), over: others, servesAlone: true,
                    now: instant(Double(second)))
            }
            if tester.isDead(ids[0], now: instant(Double(second))) { death = Double(second) }
        }
        #expect(death != nil)
    }

    @Test("S2: where three others serve, tests over three are enough, and in a smaller network none are")
    func s2AsManyOthersAsServe() {
        // Of four others one is away: what goes wrong over the three that serve counts.
        for (count, isAway, isFound) in [(5, true, true), (4, false, false)] {
            var tester = tester(count)
            for second in 0..<2_400 {
                while let node = tester.next(instant(Double(second))) {
                    let isOut = isAway && node == ids[count - 1]
                    let outcome: TestOutcome = node == ids[0] ? .unclear : isOut ? .failed : .passed(capacity: nil)
                    tester.finished(
                        node, outcome, at: .first(mayHide: false), over: node == ids[0] ? [ids[1 + second % 3]] : [],
                        now: instant(Double(second)))
                }
            }
            #expect(tester.isDead(ids[0], now: instant(2_400)) == isFound)
        }
    }

    @Test func aNodeThatReturnsFromAMaintenanceIsTestedAnewBeforeItIsDead() {
        var tester = tester(1)
        for second in 0..<100 {
            while tester.next(instant(Double(second))) != nil {
                tester.finished(ids[0], .failed, at: .first(mayHide: false), now: instant(Double(second)))
            }
        }
        #expect(tester.isDead(ids[0], now: instant(100)))
        tester.returned(ids[0], now: instant(100))
        #expect(!tester.isDead(ids[0], now: instant(100)))
        // The test is made at once, whatever the wait was, and decides.
        #expect(tester.next(instant(100)) == ids[0])
        tester.finished(ids[0], .failed, at: .first(mayHide: false), now: instant(101))
        #expect(tester.isDead(ids[0], now: instant(101)))
        tester.returned(ids[0], now: instant(102))
        for second in 102..<120 {
            while tester.next(instant(Double(second))) != nil {
                tester.finished(
                    ids[0], .passed(capacity: nil), at: .first(mayHide: false), now: instant(Double(second)))
            }
        }
        #expect(tester.isWell(ids[0], now: instant(120)))
        // One that nobody has tested yet has nothing to be forgiven.
        tester.returned(ids[1], now: instant(120))
        #expect(tester.records[ids[1]] == nil)
    }

    /// What a node shows that is tested as a middle before exits drawn by weight: it fails where `fails` says so.
    private func death(_ seed: UInt64, weights: [UInt64], fails: (Int) -> Bool) -> Double? {
        var (tester, coin) = (introduced(seed: seed), SeededGenerator(seed: seed))
        let others = tester.records.keys.filter { $0 != ids[0] }.sorted()
        let total = weights.reduce(0, +)
        tester.exitOperators = weights.count
        for step in 0..<3_600 {
            let now = instant(Double(step))
            while let node = tester.next(now) {
                guard node == ids[0], tester.isToBeHidden(node) ?? Bool.random(using: &coin) else {
                    tester.finished(node, .passed(capacity: nil), at: .first(mayHide: true), now: now)
                    continue
                }
                var (drawn, owner) = (coin.next() % total, 0)
                while drawn >= weights[owner] { (drawn, owner) = (drawn - weights[owner], owner + 1) }
                tester.finished(
                    node, fails(owner) ? .unclear : .passed(capacity: nil), at: .middle,
                    over: [others[Int(coin.next() % UInt64(others.count))]], before: ids[owner].key, now: now)
            }
            if tester.isDead(ids[0], now: now) { return Double(step) }
        }
        return nil
    }

    @Test func s20ExitsOfFewOperatorsPutNoMiddleOut() throws {
        // Three operators have 85 % of the exits' weight, four others the rest.
        let weights: [UInt64] = [300, 300, 250, 40, 40, 40, 30]
        for seed in UInt64(0)..<8 {
            #expect(death(seed, weights: weights) { $0 < 3 } == nil, "seed \(seed)")
            // A middle that drops what leads to most operators is dead all the same.
            #expect(try #require(death(seed, weights: weights) { $0 != 4 && $0 != 5 }) >= 60)
            #expect(try #require(death(seed, weights: [1_000, 1]) { _ in true }) >= 60)
        }
    }

    @Test func whatTheTesterCannotTestSaysNothing() {
        var tester = tester(1)
        for second in 0..<2_000 {
            if let node = tester.next(instant(Double(second))) { tester.skipped(node, now: instant(Double(second))) }
        }
        #expect(tester.failed == 0 && tester.records.isEmpty && tester.begun > 100)
    }
}

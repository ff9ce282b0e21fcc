import OnionCrypto
import Testing
import Wire

@testable import Watch

/// The nodes that count as dead, by their place in tests and by the behaviour of others.
extension TesterTests {
    /// A tester that has seen six nodes serve.
    private func introduced(seed: UInt64 = 1) -> Tester {
        var tester = tester(6, seed: seed)
        for id in ids.prefix(6) { tester.expedite(id, for: id, now: instant(0)) }
        while let node = tester.next(instant(0)) {
            tester.finished(node, .passed(capacity: nil), at: .first(mayHide: false), now: instant(0))
        }
        return tester
    }

    /// Tests node 0 for `seconds` as the tester wants it; returns the time at which the node counted as dead.
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
        // The node is dead only after it has refused for an epoch.
        let at = try #require(death)
        #expect(at >= 60 && at < 500, "after \(at) s")
        // It is well again when it serves.
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
            // A suspended node is tested only as the first hop.
            _ = run(120, from: 900, mayHide: false, tester: &tester) { _, _ in .passed(capacity: nil) }
            #expect(tester.isWell(ids[0], now: instant(1_019)))
        }
    }

    @Test func s21OthersFaultsMakeNoMiddleDead() {
        // Six in ten of the nodes behind it are hostile to it: more than half, and fewer than three quarters.
        for seed in UInt64(0)..<8 {
            var (tester, random) = (introduced(seed: seed), SeededGenerator(seed: seed))
            let death = run(3_600, tester: &tester) { place, _ in
                place == .middle && random.next() % 10 < 6 ? .unclear : .passed(capacity: nil)
            }
            #expect(death == nil, "seed \(seed)")
        }
    }

    @Test func s21NeighboursThatRefuseBehindANodeDoNotSaveIt() throws {
        // It passes builds on only to friends, which are a third of the nodes behind it and refuse them.
        var tester = introduced()
        let death = run(1_800, tester: &tester) { place, number in
            place != .middle ? .passed(capacity: nil) : number.isMultiple(of: 3) ? .passedOn : .unclear
        }
        #expect(try #require(death) >= 60)
    }

    @Test func s21BusyNodesBehindANodeMakeItNeitherDeadNorUnknown() {
        for seed in UInt64(0)..<8 {
            // Most of the nodes behind a healthy node refuse, and some tests fail as well.
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
        // A node that was out is well again although all nodes behind it refuse.
        var out = introduced()
        _ = run(100, mayHide: false, tester: &out) { _, _ in .failed }
        #expect(out.isDead(ids[0], now: instant(100)))
        _ = run(200, from: 100, mayHide: false, tester: &out) { _, _ in .passedOn }
        #expect(out.isWell(ids[0], now: instant(300)))
    }

    /// A first hop drops all paths that go on.
    ///
    /// Half of its tests go over a node in doubt, and count for it because it serves alone.
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
        // One of four others is away; failures over the three that serve count.
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
        // The test is made at once, however long the wait was, and decides.
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
        // A node that was never tested has no record to clear.
        tester.returned(ids[1], now: instant(120))
        #expect(tester.records[ids[1]] == nil)
    }

    /// The time at which a tested middle counts as dead; it fails before exits of owners for which `fails` is true.
    ///
    /// The owners are drawn by weight.
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
        // Three operators have 85 % of the exits' weight, and four others have the rest.
        let weights: [UInt64] = [300, 300, 250, 40, 40, 40, 30]
        for seed in UInt64(0)..<8 {
            #expect(death(seed, weights: weights) { $0 < 3 } == nil, "seed \(seed)")
            // A middle that drops paths to exits of most operators still counts as dead.
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

import OnionCrypto
import Testing
import Wire

@testable import Watch

struct TesterTests {
    let ids = (0..<30).map { NodeID(key($0).publicKey) }

    func tester(_ count: Int = 30, seed: UInt64 = 1) -> Tester {
        var tester = Tester(timing: .init(epochSeconds: 60), seed: seed, now: instant(0))
        tester.follow(Array(ids.prefix(count)))
        return tester
    }

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
        // One test a second, and a second test for each new node.
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

    @Test("S2: among many nodes a dead one is accused once eight random tests show how the others do")
    func s2NoAccusationAfterAFewLooks() throws {
        let nodes = (0..<300).map { NodeID(World.hash($0)) }
        var tester = Tester(timing: .init(epochSeconds: 600), seed: 1, now: instant(0))
        tester.follow(nodes)
        let victim = nodes[7]
        var (time, picks, deadAt) = (0.0, 0, nil as Int?)
        var accusedAt: Int?
        func step() {
            while let node = tester.next(instant(time)) {
                let isGone = node == victim && time >= 6_000
                // The victim is only ever tested at others' request, or again.
                if time >= 6_000, node != victim { picks += 1 }
                tester.finished(
                    node, isGone ? .failed : .passed(capacity: nil), at: .first(mayHide: false), now: instant(time))
            }
            time += 1
        }
        while time < 6_000 { step() }
        tester.expedite(victim, for: nodes[8], now: instant(time))
        while time < 6_400, accusedAt == nil {
            step()
            let record = try #require(tester.records[victim])
            if deadAt == nil, tester.isDead(victim, now: instant(time)) { deadAt = picks }
            if tester.mayAccuse(record, now: instant(time)) { accusedAt = picks }
        }
        #expect(try #require(deadAt) < 8 && accusedAt == 8)
    }

    @Test("S2: of many nodes a fifth may die at once and is seen to, and half of them blinds", arguments: [60, 150])
    func s2ManyThatDieAtOnce(_ dead: Int) {
        let nodes = (0..<300).map { NodeID(World.hash($0)) }
        var tester = Tester(timing: .init(epochSeconds: 600), seed: 1, now: instant(0))
        tester.follow(nodes)
        let gone = Set(nodes.prefix(dead))
        var blind = 0
        // Thirty epochs, in which the tester has seen most nodes, and ten more.
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
        // Chance may decide otherwise at times; a verdict takes seven of ten.
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
        // The result of a test that was under way no longer counts.
        if let begun { tester.finished(begun, .failed, at: .first(mayHide: false), now: instant(71)) }
        #expect(tester.records.isEmpty && tester.failed == 0)
    }

    @Test func testsAtOnceAreBounded() {
        var tester = tester()
        for (number, id) in ids.enumerated() { tester.expedite(id, for: ids[number / 10], now: instant(0)) }
        var begun = 0
        while tester.next(instant(1)) != nil { begun += 1 }
        // The requested tests, and a random one, which always has its place.
        #expect(begun == Tester.urgentAtOnce + 1)
    }

    @Test func s09WhoAsksForTestsKeepsNobodyFromAsking() {
        var tester = tester()
        for id in ids.prefix(29) { tester.expedite(id, for: ids[0], now: instant(0)) }
        tester.expedite(ids[29], for: ids[1], now: instant(0))
        var seen: [NodeID] = []
        for second in 0..<30 {
            while let node = tester.next(instant(Double(second) / 100)) {
                seen.append(node)
                tester.finished(
                    node, .passed(capacity: nil), at: .first(mayHide: false), now: instant(Double(second) / 100))
            }
        }
        #expect(seen.contains(ids[29]))
        #expect(seen.count <= Tester.urgentPerSender + 2)
    }

    @Test("s09: requests for tests of nodes that stall delay another sender's by one such test")
    func s09AskersTakeTurns() {
        // No random test is due.
        var tester = Tester(timing: .init(epochSeconds: 60), seed: 1, now: instant(100))
        tester.follow(ids)
        for place in 0..<24 { tester.expedite(ids[place], for: ids[place % 2], now: instant(0)) }
        // These take long. Each that ends makes room for the next.
        var begun: [NodeID] = []
        func begin(_ second: Double) {
            while let node = tester.next(instant(second)) { begun.append(node) }
        }
        begin(0)
        #expect(begun.count == Tester.urgentAtOnce)
        tester.expedite(ids[29], for: ids[5], now: instant(0))
        tester.finished(begun[0], .failed, at: .first(mayHide: false), now: instant(0.1))
        begin(0.1)
        #expect(begun.last == ids[29])
        // The two others go on by turns.
        tester.finished(begun[1], .failed, at: .first(mayHide: false), now: instant(0.2))
        tester.finished(begun[2], .failed, at: .first(mayHide: false), now: instant(0.2))
        begin(0.2)
        #expect(begun.suffix(2).map { ids.firstIndex(of: $0)! % 2 } == [0, 1])
    }

    @Test(arguments: [TestOutcome.passed(capacity: nil), .failed, .refused, .unclear])
    func s09NoNodeIsTestedAgainAtOnce(_ outcome: TestOutcome) {
        var tester = tester(1)
        var begun = 0
        for step in 0..<100 {
            let now = instant(10 + Double(step) / 200)
            tester.expedite(ids[0], for: ids[step % 30], now: now)
            while let node = tester.next(now) {
                begun += 1
                tester.finished(node, outcome, at: .first(mayHide: false), now: now)
            }
        }
        // The requested test, and a random one.
        #expect(begun <= 2)
    }
}

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
                tester.finished(node, .passed(capacity: nil), now: instant(Double(second)))
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
                tester.finished(node, .failed, now: instant(time))
                moments.append(time)
            }
            time += 0.5
        }
        #expect(tester.isDead(ids[0], now: instant(time)))
        #expect(moments.count > 4)
    }

    @Test func oneFailureOrTwoAreNoDeath() {
        var tester = tester(1)
        for (count, expected) in [(1, false), (2, false), (3, true)] {
            var time = Double(count) * 20
            while tester.next(instant(time)) == nil { time += 0.5 }
            tester.finished(ids[0], .failed, now: instant(time))
            #expect(tester.isDead(ids[0], now: instant(time)) == expected)
        }
    }

    @Test func whatIsUnclearOnceOrTwiceSaysNothing() {
        var tester = tester(1)
        var count = 0
        for second in 0..<100 where count < 3 {
            if let node = tester.next(instant(Double(second))) {
                tester.finished(node, .unclear, now: instant(Double(second)))
                count += 1
            }
        }
        #expect(!tester.isDead(ids[0], now: instant(100)) && !tester.isWell(ids[0], now: instant(100)))
        #expect(tester.failed == 0)
    }

    @Test func aNodeThatLeadsNowhereFailsInTheEnd() {
        var tester = tester(1)
        for second in 0..<400 {
            if let node = tester.next(instant(Double(second))) {
                tester.finished(node, .unclear, now: instant(Double(second)))
            }
        }
        #expect(tester.isDead(ids[0], now: instant(400)))
    }

    @Test func oldResultsSayNothing() {
        var tester = tester(1)
        for second in 0..<10 {
            if let node = tester.next(instant(Double(second))) {
                tester.finished(node, .passed(capacity: 7), now: instant(Double(second)))
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
                tester.finished(node, .passed(capacity: nil), now: instant(Double(second)))
            }
        }
        #expect(tester.records.count == 3)
        let begun = tester.next(instant(70))
        tester.follow([ids[7]])
        #expect(tester.records.isEmpty)
        // A test that was under way says nothing any more.
        if let begun { tester.finished(begun, .failed, now: instant(71)) }
        #expect(tester.records.isEmpty && tester.failed == 0)
    }

    @Test func testsAtOnceAreBounded() {
        var tester = tester()
        for id in ids { tester.hurry(id, now: instant(0)) }
        var begun = 0
        while tester.next(instant(1)) != nil { begun += 1 }
        #expect(begun == Tester.testsAtOnce)
    }
}

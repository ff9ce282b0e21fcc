import Testing
import Wire

@testable import Watch

/// Two nodes of a small network that fail the tests over them, and nodes that really fail, by seed.
struct TwoOthersTests {
    private static let sizes = [6, 7, 8, 10, 20]

    /// A tester's record of a node that fails a test over two others if `fails` says so, after at most `days` days.
    ///
    /// All other nodes serve. One test in two hundred fails through no node's fault.
    private func judged(_ count: Int, seed: UInt64, days: Int, fails: (Int, Int, inout SeededGenerator) -> Bool) -> (
        tester: Tester, death: Double?
    ) {
        let ids = (0..<count - 1).map { NodeID(World.hash(UInt64($0))) }
        var tester = Tester(timing: .init(epochSeconds: 3_600), seed: seed, now: instant(0))
        var random = SeededGenerator(seed: seed)
        tester.follow(ids)
        tester.exitOperators = count - 2
        var death: Double?
        for step in 0..<days * 5_760 where death == nil {
            let now = instant(Double(step) * 15)
            while let node = tester.next(now) {
                let isHidden = tester.isToBeHidden(node) ?? (random.next() & 1 == 0)
                let place = isHidden ? TestPlace.middle : .first(mayHide: true)
                guard node == ids[0] else {
                    tester.finished(node, .passed(capacity: nil), at: place, over: [], now: now)
                    continue
                }
                let first = 1 + Int(random.next() % UInt64(count - 2))
                var last = 1 + Int(random.next() % UInt64(count - 3))
                if last >= first { last += 1 }
                let isFailed = random.next() % 200 == 0 || fails(first, last, &random)
                tester.finished(
                    node, isFailed ? .unclear : .passed(capacity: nil), at: place, over: [ids[first], ids[last]],
                    before: isHidden ? ids[last].key : nil, servesAlone: true, now: now)
            }
            if tester.isDead(ids[0], now: now) { death = Double(step) * 15 }
        }
        return (tester, death)
    }

    @Test("s20: two nodes that fail all tests over them put no other out, however small the network", arguments: sizes)
    func s20TwoOfFew(_ count: Int) {
        let (tester, death) = judged(count, seed: UInt64(count), days: 14) { first, last, _ in
            first <= 2 || last <= 2
        }
        #expect(death == nil && tester.failed == 0, "\(tester.failed) of \(tester.begun) tests failed")
    }

    @Test("s20: a node that drops nine of ten paths is dead within two days, in whatever network", arguments: sizes)
    func s20WhoDropsMost(_ count: Int) throws {
        let (_, death) = judged(count, seed: UInt64(count), days: 14) { _, _, random in random.next() % 10 > 0 }
        #expect(try #require(death) < 172_800)
    }

    @Test("s20: a node that drops all paths from one moment on is dead soon, whatever it did before", arguments: sizes)
    func s20WhoStopsServing(_ count: Int) throws {
        var number = 0
        let (_, death) = judged(count, seed: UInt64(count), days: 14) { _, _, _ in
            number += 1
            return number > 200
        }
        #expect(death != nil)
    }

    @Test("s20: without tests that avoid two nodes the two are no excuse for ever")
    func s20NoOtherWay() {
        let ids = (0..<6).map { NodeID(World.hash(UInt64($0))) }
        var pairs = TestPairs()
        // All paths end at one of two nodes.
        for number in 0..<40 { pairs.note(true, over: [ids[2 + number % 4], ids[number % 2]]) }
        #expect(!pairs.areTwoOthersSuspect)
        // All paths have one of two nodes, although others would be possible.
        pairs.clear()
        for number in 0..<TestPairs.limit {
            #expect(pairs.areTwoOthersSuspect == (number > 1))
            let (one, other) = (ids[number % 2], ids[2 + number % 4])
            pairs.note(true, over: number % 3 == 0 ? [other, one] : [one, other])
        }
        #expect(!pairs.areTwoOthersSuspect)
    }

    @Test("s20: more nodes than are kept begin anew")
    func s20Bounded() {
        var pairs = TestPairs()
        for number in 0..<100 as Range<UInt64> {
            pairs.note(number % 2 == 0, over: [NodeID(World.hash(number)), NodeID(World.hash(number + 1))])
        }
        #expect(pairs.areTwoOthersSuspect)
    }
}

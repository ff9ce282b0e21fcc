import SeededRandom
import Services
import ServicesModel
import SwarmModel
import Testing
import Wire

@Suite struct StampTests {
    /// Whether `stamps` go on from the stamp that a refusal names.
    private func believes(
        _ stamps: inout DescriptorStamps, _ created: UInt32, _ counter: UInt8 = 0, at minutes: UInt64
    ) -> Bool {
        stamps.goOn(from: DescriptorStamp(created: firstMinute + created, counter: counter), at: time(minutes))
    }

    private func time(_ minutes: UInt64) -> UnixTime { UnixTime(seconds: (UInt64(firstMinute) + minutes) * 60 + 59) }

    @Test("SV3: stamps only grow, whatever the clock does")
    func sv3_grow() {
        for seed in 0..<20 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            var stamps = DescriptorStamps()
            var last: DescriptorStamp?
            for _ in 0..<2_000 {
                let stamp = stamps.next(at: time(UInt64.random(in: 0..<100, using: &random)), random: &random)
                #expect(stamp.created % 10 == 0)
                if let last { #expect(last < stamp) }
                last = stamp
            }
        }
    }

    @Test("SV2: created is ten minutes coarse, and each begins with another counter")
    func sv2_grain() {
        var random = SeededGenerator(seed: 1)
        var starts: [UInt8: Int] = [:]
        var stamps = DescriptorStamps()
        for number in 0..<1_600 as Range<UInt64> {
            let stamp = stamps.next(at: time(10 * number + number % 10), random: &random)
            #expect(stamp.created == firstMinute + 10 * UInt32(number))
            starts[stamp.counter, default: 0] += 1
        }
        #expect(starts.keys.sorted() == Array(0..<16))
        // A mean of 100 and a deviation of 10.
        #expect(starts.values.allSatisfy { 50..<150 ~= $0 })
    }

    @Test func withinTenMinutesTheCounterGoesUpByOne() {
        var random = SeededGenerator(seed: 2)
        var stamps = DescriptorStamps()
        let first = stamps.next(at: time(0), random: &random)
        for step in 1..<5 as Range<UInt8> {
            #expect(
                stamps.next(at: time(UInt64(step)), random: &random)
                    == DescriptorStamp(created: first.created, counter: first.counter + step))
        }
    }

    @Test("SV3: a refusal names the stamp to go on from; one from the far future is not believed")
    func sv3_refusals() {
        var random = SeededGenerator(seed: 3)
        var stamps = DescriptorStamps()
        let followed = believes(&stamps, 0, 200, at: 1)
        #expect(followed)
        #expect(stamps.next(at: time(1), random: &random) == DescriptorStamp(created: firstMinute, counter: 201))
        // An older one changes nothing.
        let older = believes(&stamps, 0, 7, at: 1)
        #expect(older)
        #expect(stamps.next(at: time(1), random: &random) == DescriptorStamp(created: firstMinute, counter: 202))
        // A full counter goes on in the next ten minutes.
        let full = believes(&stamps, 0, 255, at: 1)
        let next = stamps.next(at: time(1), random: &random)
        #expect(full && next.created == firstMinute + 10 && next.counter < 16)
        let ahead = believes(&stamps, 20, at: 0)
        #expect(ahead)
        for (created, minutes) in [(30, 0), (30, 9), (31, 5), (UInt32.max - firstMinute, 0)] as [(UInt32, UInt64)] {
            let lie = believes(&stamps, created, at: minutes)
            #expect(!lie, "\(created)")
        }
        #expect(stamps.next(at: time(2), random: &random) == DescriptorStamp(created: firstMinute + 20, counter: 1))
    }

    @Test("SV3: whatever refusals say, the next version is one that replicas store")
    func sv3_lies() {
        var random = SeededGenerator(seed: 5)
        for minutes in 0..<10 as Range<UInt64> {
            var stamps = DescriptorStamps()
            for _ in 0..<200 {
                let lie = DescriptorStamp(
                    created: firstMinute + UInt32.random(in: 0..<60, using: &random),
                    counter: [0, 254, 255].randomElement(using: &random) ?? 0)
                _ = stamps.goOn(from: lie, at: time(minutes))
                #expect(stamps.next(at: time(minutes), random: &random).created <= firstMinute + UInt32(minutes) + 30)
            }
        }
    }

    @Test func noTimeTraps() {
        var random = SeededGenerator(seed: 4)
        var stamps = DescriptorStamps()
        for seconds in [0, 1, .max, .max - 1, 0, 257_698_037_759] as [UInt64] {
            for _ in 0..<600 { _ = stamps.next(at: UnixTime(seconds: seconds), random: &random) }
            _ = stamps.goOn(from: DescriptorStamp(created: .max, counter: 255), at: UnixTime(seconds: seconds))
        }
    }
}

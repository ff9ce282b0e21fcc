import OnionCrypto
import Testing
import Wire

@testable import Onion

/// The times of records that a node has forgotten.
///
/// `BuildTests` has the other tests of the cache.
@Suite struct BuildReplayCacheTests {
    /// A cache and the records that come to it, each another one unless a test names its number.
    private final class Node {
        private var cache = BuildReplayCache(limit: 100_000, now: at(0))
        private var made: UInt64 = 0

        func enter(time: UInt64, at seconds: Double, number: UInt64? = nil) -> BuildReplayCache.Entry {
            made += 1
            var writer = ByteWriter(capacity: 8)
            writer.u64(number ?? made)
            let record = writer.bytes
            return cache.enter(record.rawSpan, time: time, of: 1, now: at(seconds))
        }
    }

    /// The clock was ahead while one record came, and is right again.
    @Test("O13: a record of the future, once forgotten, costs its own time only") func clockThatWasAhead() {
        for pauses in [[9_000.0], [3_000, 3_000], [2_999, 3_001], [1_500, 1_500, 3_000, 3_000]] {
            let node = Node()
            let ahead = node.enter(time: 1_000, at: 0, number: 1_000_000)
            #expect(ahead == .new)
            var passed = 0.0
            for pause in pauses {
                passed += pause
                for time in [500, 999, 1_001] as [UInt64] {
                    let entry = node.enter(time: time + UInt64(passed), at: passed)
                    #expect(entry == .new, "time \(time) after \(passed) s")
                }
            }
            // The same record, and any other one of its time.
            let same = node.enter(time: 1_000, at: passed, number: 1_000_000)
            let other = node.enter(time: 1_000, at: passed)
            #expect(same == .forgotten && other == .forgotten)
            let (before, after) = (node.enter(time: 999, at: passed), node.enter(time: 1_001, at: passed))
            #expect(before == .new && after == .new)
        }
    }

    @Test("O13: above 4,096 forgotten times the earliest go, and no time before them is valid") func manyTimes() {
        let node = Node()
        // One record in each generation, of every second time; one of the far future comes first.
        var entries: [BuildReplayCache.Entry] = [node.enter(time: 1_000_000, at: 0)]
        for number in 1...5_000 as ClosedRange<UInt64> {
            entries.append(node.enter(time: 2 * number, at: 3_000 * Double(number)))
        }
        #expect(entries.allSatisfy { $0 == .new })
        // The last two generations are held; 4,999 times are forgotten, of which 903 are no more remembered.
        let now = 3_000.0 * 5_000
        let early = [1, 2, 1_000, 1_805, 1_806].map { node.enter(time: $0, at: now) }
        #expect(early.allSatisfy { $0 == .forgotten })
        let remembered = [1_808, 1_810, 9_996, 1_000_000].map { node.enter(time: $0, at: now) }
        #expect(remembered.allSatisfy { $0 == .forgotten })
        let free = [1_807, 1_809, 9_997, 9_998, 10_000, 10_001, 999_999].map { node.enter(time: $0, at: now) }
        #expect(free.allSatisfy { $0 == .new })
    }
}

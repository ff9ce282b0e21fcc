import SeededRandom
import Testing

@testable import Transport

@Suite struct RangeSetTests {
    /// A range set holds the same numbers as a plain set; its ranges stay apart and in order.
    @Test(arguments: 0..<10 as Range<UInt64>) func rangesAreTheSetOfTheirNumbers(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var ranges = RangeSet()
        var numbers: Set<UInt64> = []
        for _ in 0..<300 {
            let low = UInt64.random(in: 0..<120, using: &generator)
            let high = low + UInt64.random(in: 0..<12, using: &generator)
            if Bool.random(using: &generator) {
                let before = numbers.count
                numbers.formUnion(low..<high)
                #expect(ranges.insert(low, high) == UInt64(numbers.count - before))
            } else {
                ranges.remove(low, high)
                numbers.subtract(low..<high)
            }
            let runs = ranges.runs
            #expect(zip(runs, runs.dropFirst()).allSatisfy { $0.high < $1.low } && runs.allSatisfy { $0.low < $0.high })
            #expect(Set(runs.flatMap { Array($0.low..<$0.high) }) == numbers)
            let found = ranges.overlapping(low, high)
            #expect(Array(found) == runs.filter { $0.high > low && $0.low < high })
            #expect(ranges.contains(low) == numbers.contains(low))
        }
    }
}

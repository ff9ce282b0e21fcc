import Testing

@testable import Bench

private func latencies(_ times: some Sequence<Int>) -> Latencies {
    var latencies = Latencies()
    for time in times { latencies.record(UInt64(time)) }
    return latencies
}

@Test func percentilesAreRightToThreeDigits() throws {
    let times = latencies((1...10_000).map { $0 * 1000 })
    #expect(times.count == 10_000)
    for (percentile, expected) in [(50.0, 5000.0), (90, 9000), (99, 9900), (99.9, 9990)] {
        let found = try #require(times.microseconds(atPercentile: percentile))
        #expect(abs(found - expected) <= expected / 500, "\(percentile)")
    }
    #expect(abs((times.longestMicroseconds ?? 0) - 10_000) <= 20)
}

@Test func aPercentileNeedsASampleBeyondIt() {
    #expect(latencies([]).microseconds(atPercentile: 50) == nil)
    #expect(latencies([5000]).microseconds(atPercentile: 50) != nil)
    #expect(latencies(repeatElement(5000, count: 99)).microseconds(atPercentile: 99) == nil)
    #expect(latencies(repeatElement(5000, count: 100)).microseconds(atPercentile: 99) != nil)
    #expect(latencies(repeatElement(5000, count: 999)).microseconds(atPercentile: 99.9) == nil)
    #expect(latencies(repeatElement(5000, count: 1000)).microseconds(atPercentile: 99.9) != nil)
}

@Test func distributionsRiseAndEndWhereSamplesDo() throws {
    let points = latencies((1...5000).map { $0 * 100 }).distribution
    #expect(points.first?.percentile == 0)
    let last = try #require(points.last)
    #expect(99.9 < last.percentile && last.percentile <= 99.98)
    for (before, after) in zip(points, points.dropFirst()) {
        #expect(before.percentile < after.percentile)
        #expect(before.microseconds <= after.microseconds)
    }
    #expect(latencies([]).distribution.isEmpty)
}

@Test func longTimesAreKeptAsTheLongest() throws {
    let longest = try #require(latencies([Int.max]).longestMicroseconds)
    #expect(abs(longest - 600_000_000) < 1_000_000)
}

@Test func ranksAreTheNearest() {
    #expect(Benchmark.rank(0.5, of: []) == nil)
    #expect(Benchmark.rank(0.5, of: [3]) == 3)
    #expect(Benchmark.rank(0.5, of: [1, 2, 3]) == 2)
    #expect(Benchmark.rank(0.9, of: (0...10).map(Double.init)) == 9)
}

@Test func faultsAreCountedByKind() {
    var faults = LoadFaults(LoadFault(.stalled, "first"))
    faults.add(LoadFault(.refused, "second"))
    faults.add(LoadFault(.stalled, "third"))
    #expect(faults.count == 3)
    #expect(faults.description == "1 refused, 2 stalled (first)")
    #expect(LoadFaults().isEmpty)
}

import Testing

@testable import Relay

/// The bucket for the bytes of a month.
@Suite struct PaceBucketTests {
    private static let rate = 200_000.0
    private static let look = 0.005

    /// Whether something may pass at each look of so many seconds in which nothing does.
    private func looks(_ bucket: inout PaceBucket, for seconds: Double, passed: UInt64) -> [Bool] {
        (0..<Int(seconds / Self.look)).map { _ in
            bucket.fill(for: Self.look, passed: passed)
            return bucket.content >= 0
        }
    }

    @Test("R12: what passes beyond the month's pace is a debt until it is made up for") func debt() {
        var bucket = PaceBucket(rate: Self.rate, passed: 1_000)
        bucket.fill(for: Self.look, passed: 1_000 + 600_000)
        let open = looks(&bucket, for: 4, passed: 601_000)
        // Three seconds are to be made up for, in which a little may pass each 0.4 s.
        let first = open.firstIndex(of: true) ?? 0
        #expect((78...82).contains(first))
        #expect(open.prefix(595).count { $0 } == 7)
        #expect(open.suffix(195).allSatisfy { $0 })
    }

    @Test(
        "R12: traffic that takes all that the bucket lets pass keeps to the pace of the month",
        arguments: [1, 20, 70])
    func pace(_ kilobytes: UInt64) {
        var bucket = PaceBucket(rate: Self.rate, passed: 0)
        var passed: UInt64 = 0
        for _ in 0..<12_000 {
            // Batches come by chance, and are seen at the next look.
            if bucket.content >= 0 { passed += kilobytes * 1_000 }
            bucket.fill(for: Self.look, passed: passed)
        }
        let most = 60 * Self.rate + Double(kilobytes) * 1_000 + 0.1 * Self.rate
        #expect(Double(passed) <= most && Double(passed) > 0.95 * 60 * Self.rate)
    }

    @Test("R12: a credit is for a tenth of a second, and a count that falls by a few is no debt")
    func credit() {
        var bucket = PaceBucket(rate: Self.rate, passed: 5_000)
        _ = looks(&bucket, for: 60, passed: 5_000)
        #expect(bucket.content == 20_000)
        bucket.fill(for: Self.look, passed: 4_000)
        #expect(bucket.content == 20_000)
        bucket.fill(for: 0, passed: 34_000)
        #expect(bucket.content == -10_000)
        // A lower rate does not make a long debt of it.
        bucket.rate = 100
        _ = looks(&bucket, for: 11, passed: 34_000)
        #expect(bucket.content >= 0)
    }
}

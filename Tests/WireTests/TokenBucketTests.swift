import SeededRandom
import Testing
import Wire

/// `#expect` for conditions with mutating calls.
private func check(_ holds: Bool, _ location: SourceLocation = #_sourceLocation) {
    #expect(holds, sourceLocation: location)
}

@Suite struct TokenBucketTests {
    private let start = Instant(nanoseconds: 50_000_000_000)

    @Test(
        "a bucket gives its burst and then its rate, also where the clock has just begun",
        arguments: [0, 50_000_000_000])
    func burstThenRate(_ begin: UInt64) {
        let start = Instant(nanoseconds: begin)
        var bucket = TokenBucket(perSecond: 10, burst: 3, now: start)
        check((0..<5).map { _ in bucket.take(now: start) } == [true, true, true, false, false])
        check(!bucket.take(now: start + .milliseconds(99)))
        check(bucket.take(now: start + .milliseconds(100)))
        check(!bucket.take(now: start + .milliseconds(100)))
        let later = start + .seconds(100)
        check((0..<5).map { _ in bucket.take(now: later) } == [true, true, true, false, false])
    }

    @Test("several tokens are taken together or not at all")
    func several() {
        var bucket = TokenBucket(perSecond: 1_000, burst: 100, now: start)
        check(!bucket.take(101, now: start))
        check(bucket.take(60, now: start) && !bucket.take(41, now: start) && bucket.take(40, now: start))
        check(!bucket.take(20, now: start + .milliseconds(19)) && bucket.take(20, now: start + .milliseconds(20)))
        check(bucket.take(0, now: start + .milliseconds(20)) && bucket.take(-5, now: start + .milliseconds(20)))
    }

    @Test("it is below half while it holds less than half of its burst")
    func half() {
        var bucket = TokenBucket(perSecond: 10, burst: 4, now: start)
        check(bucket.take(2, now: start) && !bucket.isBelowHalf(start))
        check(bucket.take(now: start) && bucket.isBelowHalf(start))
        check(bucket.isBelowHalf(start + .milliseconds(99)) && !bucket.isBelowHalf(start + .milliseconds(100)))
    }

    @Test("another rate keeps the tokens that it has room for")
    func anotherRate() {
        let (slow, fast) = (TokenBucket.Rate(perSecond: 10, burst: 20), TokenBucket.Rate(perSecond: 1_000, burst: 50))
        var bucket = TokenBucket(slow, now: start)
        bucket.change(to: fast, now: start)
        check(bucket.take(20, now: start) && !bucket.take(now: start))
        let later = start + .seconds(1)
        bucket.change(to: slow, now: later)
        check(bucket.take(20, now: later) && !bucket.take(now: later))
    }

    @Test("a clock that stands or goes back gives nothing and takes nothing")
    func clockGoesBack() {
        var bucket = TokenBucket(perSecond: 10, burst: 2, now: start)
        check(bucket.take(2, now: start) && !bucket.take(now: start + .seconds(-5)) && !bucket.take(now: start))
        check(bucket.take(now: start + .milliseconds(100)))
    }

    @Test("numbers of any size saturate", arguments: [Int.min, -1, 0, 1, 3, 1_000_000_007, .max])
    func anySize(_ number: Int) {
        for other in [Int.min, 0, 1, .max] {
            for time in [0, 1, UInt64.max / 2, .max] as [UInt64] {
                let now = Instant(nanoseconds: time)
                var bucket = TokenBucket(perSecond: number, burst: other, now: now)
                _ = bucket.take(number, now: now)
                _ = bucket.take(.max, now: Instant(nanoseconds: .max))
                bucket.change(to: .init(perSecond: other, burst: number), now: now)
                _ = bucket.take(now: Instant(nanoseconds: 0))
                _ = bucket.isBelowHalf(now)
                var emptyAt = UInt64.max
                check(
                    !TokenBucket.Rate(perSecond: 1, burst: other).take(from: &emptyAt, now: Instant(nanoseconds: 0)))
            }
        }
    }

    @Test("over many seeded takings it gives what a bucket of real numbers gives, but for the rounding of each")
    func likeRealNumbers() {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<10 {
            let (perSecond, burst) = (
                Int.random(in: 1...5_000, using: &random), Int.random(in: 1...300, using: &random)
            )
            var bucket = TokenBucket(perSecond: perSecond, burst: burst, now: start)
            var (level, now, taken, expected) = (Double(burst), start, 0, 0)
            for _ in 0..<400 {
                let step = Int64.random(in: 0...2_000_000_000 / Int64(perSecond), using: &random)
                now = now + TimeSpan(nanoseconds: step)
                level = min(Double(burst), level + Double(step) / 1e9 * Double(perSecond))
                let count = Int.random(in: 1...max(1, burst / 2), using: &random)
                if level >= Double(count) {
                    level -= Double(count)
                    expected += count
                }
                if bucket.take(count, now: now) { taken += count }
            }
            #expect(abs(taken - expected) <= burst, "\(perSecond) a second, \(burst) at once: \(taken), \(expected)")
        }
    }
}

public import Wire

/// A rate with a burst: tokens arrive at a steady pace up to a limit, and each event takes one.
public struct TokenBucket: Sendable {
    /// The pace and the limit of a bucket.
    struct Rate: Sendable {
        let nanosecondsPerToken: UInt64
        let capacity: UInt64

        /// `rate` tokens a second up to `burst` of them; both are at least 1.
        init(rate: Int, burst: Int) {
            nanosecondsPerToken = 1_000_000_000 / UInt64(max(rate, 1))
            capacity = nanosecondsPerToken * UInt64(max(burst, 1))
        }

        /// Takes a token from the bucket that would have been empty at `emptyAt`; false when there is none.
        func take(from emptyAt: inout UInt64, now: Instant) -> Bool {
            let time = now.nanoseconds
            if time > emptyAt, time - emptyAt > capacity { emptyAt = time - capacity }
            guard time >= emptyAt, time - emptyAt >= nanosecondsPerToken else { return false }
            emptyAt += nanosecondsPerToken
            return true
        }
    }

    private let rate: Rate
    /// When the bucket, left alone, would have been empty: its content is the age of that moment.
    private var emptyAt: UInt64

    /// A full bucket of `burst` tokens that gains `rate` tokens a second; both are at least 1.
    public init(rate: Int, burst: Int, now: Instant) {
        self.rate = Rate(rate: rate, burst: burst)
        // A clock that has not run yet for as long as the burst takes: start as full as it permits.
        emptyAt = now.nanoseconds < self.rate.capacity ? 0 : now.nanoseconds - self.rate.capacity
    }

    /// Takes a token; false when there is none.
    public mutating func take(now: Instant) -> Bool { rate.take(from: &emptyAt, now: now) }
}

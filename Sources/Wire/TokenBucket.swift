/// A rate with a burst: tokens come at a steady pace up to a cap, and each event takes some.
///
/// All arithmetic saturates.
public struct TokenBucket: Sendable {
    /// The pace and the cap of a bucket.
    ///
    /// It counts in nanoseconds: a token takes so many to come, rounded down, and a full bucket holds those of its
    /// burst.
    public struct Rate: Hashable, Sendable {
        private let perSecond: UInt64
        private let nanosecondsPerToken: UInt64
        private let capacity: UInt64

        /// `perSecond` tokens a second up to `burst` of them; both are at least 1.
        public init(perSecond: Int, burst: Int) {
            self.perSecond = UInt64(clamping: max(perSecond, 1))
            nanosecondsPerToken = Self.nanoseconds(of: 1, perSecond: self.perSecond)
            capacity = Self.nanoseconds(of: UInt64(clamping: max(burst, 1)), perSecond: self.perSecond)
        }

        private static func nanoseconds(of count: UInt64, perSecond: UInt64) -> UInt64 {
            let (product, overflows) = count.multipliedReportingOverflow(by: 1_000_000_000)
            return overflows ? .max : product / perSecond
        }

        /// Takes a token from the bucket that, left alone, would have been empty at `emptyAt`; false when there is
        /// none.
        ///
        /// A bucket is full when that moment is long ago: 0 is a full one, or as full as a clock that has just begun
        /// allows for.
        public func take(from emptyAt: inout UInt64, now: Instant) -> Bool {
            take(nanosecondsPerToken, from: &emptyAt, at: now.nanoseconds)
        }

        fileprivate func take(_ cost: UInt64, from emptyAt: inout UInt64, at time: UInt64) -> Bool {
            if time > emptyAt, time - emptyAt > capacity { emptyAt = time - capacity }
            guard time >= emptyAt, time - emptyAt >= cost else { return false }
            emptyAt += cost
            return true
        }

        fileprivate func cost(of count: Int) -> UInt64 {
            count == 1 ? nanosecondsPerToken : Self.nanoseconds(of: UInt64(clamping: count), perSecond: perSecond)
        }

        /// What a bucket holds at `time`, in the nanoseconds that it takes to come.
        fileprivate func held(since emptyAt: UInt64, at time: UInt64) -> UInt64 {
            time > emptyAt ? min(time - emptyAt, capacity) : 0
        }

        fileprivate func isBelowHalf(since emptyAt: UInt64, at time: UInt64) -> Bool {
            held(since: emptyAt, at: time) < capacity / 2 + capacity % 2
        }

        /// When a full bucket was empty.
        fileprivate func emptyTime(ofFullAt time: UInt64) -> UInt64 { time > capacity ? time - capacity : 0 }

        /// When the bucket was empty whose tokens at `time` are those that one of `other` holds.
        fileprivate func emptyTime(of other: Rate, since emptyAt: UInt64, at time: UInt64) -> UInt64 {
            let (product, overflows) = other.held(since: emptyAt, at: time).multipliedReportingOverflow(
                by: other.perSecond)
            let held = overflows ? capacity : min(capacity, product / perSecond)
            return time > held ? time - held : 0
        }
    }

    /// What a bucket's clock is ahead of `Instant`'s, so that one that is full at that clock's zero was empty after its
    /// own.
    private static let head: UInt64 = 1 << 62

    private var rate: Rate
    private var emptyAt: UInt64

    /// A bucket with all its tokens at `now`.
    public init(_ rate: Rate, now: Instant) {
        self.rate = rate
        emptyAt = rate.emptyTime(ofFullAt: Self.time(now))
    }

    /// A full bucket of `burst` tokens that gains `perSecond` tokens a second; both are at least 1.
    public init(perSecond: Int, burst: Int, now: Instant) {
        self.init(Rate(perSecond: perSecond, burst: burst), now: now)
    }

    private static func time(_ now: Instant) -> UInt64 {
        let (sum, overflows) = now.nanoseconds.addingReportingOverflow(head)
        return overflows ? .max : sum
    }

    /// Takes `count` tokens; false, and none is taken, when there are fewer.
    ///
    /// A negative count is none.
    public mutating func take(_ count: Int = 1, now: Instant) -> Bool {
        rate.take(rate.cost(of: count), from: &emptyAt, at: Self.time(now))
    }

    /// Goes by `rate` from now on, and keeps as many of its tokens as that one's burst has room for.
    public mutating func change(to rate: Rate, now: Instant) {
        guard rate != self.rate else { return }
        emptyAt = rate.emptyTime(of: self.rate, since: emptyAt, at: Self.time(now))
        self.rate = rate
    }

    /// Whether it holds less than half of its burst.
    public func isBelowHalf(_ now: Instant) -> Bool { rate.isBelowHalf(since: emptyAt, at: Self.time(now)) }
}

internal import Wire

/// How much may be sent in a time, in bytes: a bucket that fills steadily up to a burst.
struct FlowBudget {
    /// A rate and a burst, in bytes a second and bytes.
    struct Rate {
        let perSecond: Double
        let burst: Double

        /// So many KiB a second, and so many at once.
        init(perSecond: Int, burst: Int) {
            self.perSecond = Double(perSecond * 1_024)
            self.burst = Double(burst * 1_024)
        }
    }

    /// What each datagram costs beside its bytes.
    private static let overhead = 64

    private var available: Double
    private var last: Instant

    /// A full bucket of `rate`.
    init(_ rate: Rate, now: Instant) {
        available = rate.burst
        last = now
    }

    /// Takes a datagram of `count` bytes off, if there is as much at `rate`.
    mutating func take(_ count: Int, at rate: Rate, now: Instant) -> Bool {
        available = min(rate.burst, available + (now - last).inSeconds * rate.perSecond)
        last = now
        let cost = Double(count + Self.overhead)
        guard available >= cost else { return false }
        available -= cost
        return true
    }
}

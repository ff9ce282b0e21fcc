internal import Wire

/// A token bucket: so many a second, with a burst.
struct RateLimit {
    private let perSecond: Double
    private let burst: Double
    private var tokens: Double
    private var last: Instant

    /// A full bucket.
    init(perSecond: Int, burst: Int, now: Instant) {
        self.perSecond = Double(perSecond)
        self.burst = Double(burst)
        tokens = Double(burst)
        last = now
    }

    /// Takes a token if there is one.
    mutating func take(_ now: Instant) -> Bool {
        tokens = min(burst, tokens + (now - last).inSeconds * perSecond)
        last = now
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}

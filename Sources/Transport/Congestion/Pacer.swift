internal import Wire

/// Spreads packets over time at a rate, in bursts of about a millisecond so that timers stay cheap.
struct Pacer {
    /// A packet may be sent this long before it is due: the burst of one timer release.
    private static let horizon = TimeSpan.milliseconds(1)
    /// How many packets may be sent at once after a pause.
    private static let burst: Int64 = 10

    /// When the next packet is due at the current rate.
    private var due = Instant(nanoseconds: 0)

    init() {}

    /// When the next packet may be sent.
    func release(isPaced: Bool) -> Instant { isPaced ? due + (.zero - Self.horizon) : Instant(nanoseconds: 0) }

    func allows(_ now: Instant, isPaced: Bool) -> Bool { !isPaced || due <= now + Self.horizon }

    /// Counts a packet of `size` bytes at `rate` bytes a second.
    mutating func sent(size: Int, rate: Double, now: Instant) {
        guard rate > 0 else { return }
        let step = Double(size) / rate * 1e9
        let gap = TimeSpan(nanoseconds: Int64(min(step, 1e9)))
        // A pause earns at most a burst.
        let earliest = now + (.zero - min(gap * Self.burst, .milliseconds(20)))
        if due < earliest { due = earliest }
        due = due + gap
    }
}

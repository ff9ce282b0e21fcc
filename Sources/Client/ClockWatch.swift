internal import Wire

/// Detects jumps of the machine's wall clock, and counts the time for which the guards are in use.
struct ClockWatch {
    /// The wall clock minus the running clock, in seconds; nil before the first check.
    private var offset: Int64?
    /// Up to when the guards' time has been counted, by the running clock.
    private var agedAt: Instant
    private var hasAgedWhileOff = false
    private var hasWarned = false

    /// Begins to count at `running`, a time of the running clock.
    init(running: Instant) { agedAt = running }

    /// Whether the wall clock has been moved by more than a minute since the last call.
    mutating func wasMoved(_ wall: UnixTime, running: Instant) -> Bool {
        let found = Int64(clamping: wall.seconds) - Int64(running.nanoseconds / 1_000_000_000)
        defer { offset = found }
        return offset.map { abs($0 - found) > 60 } ?? false
    }

    /// Whether to log that the clock is wrong: once, until it has been right again.
    mutating func mustWarn(_ isWrong: Bool) -> Bool {
        defer { hasWarned = isWrong }
        return isWrong && !hasWarned
    }

    /// The seconds since the guards' time was last counted, which the caller must count; nil if fewer than 60.
    mutating func passed(running: Instant) -> UInt64? {
        let passed = (running - agedAt).nanoseconds / 1_000_000_000
        guard passed >= 60 else { return nil }
        agedAt = agedAt + .seconds(passed)
        return UInt64(passed)
    }

    /// Whether to count the time during which the program did not run: once, as soon as the time `isKnown`.
    mutating func countsTimeOff(_ isKnown: Bool) -> Bool {
        guard isKnown, !hasAgedWhileOff else { return false }
        hasAgedWhileOff = true
        return true
    }
}

internal import Wire

/// What a client has noticed of its machine's clock, and up to when it has counted its guards' time.
struct ClockWatch {
    /// The wall clock less the running one, in seconds; nil before the first look.
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

    /// Whether the log is to be told that the clock is wrong: once, until it has been right again.
    mutating func mustWarn(_ isWrong: Bool) -> Bool {
        defer { hasWarned = isWrong }
        return isWrong && !hasWarned
    }

    /// The seconds that have passed since the guards' time was counted last; nil while it is less than a minute.
    mutating func passed(running: Instant) -> UInt64? {
        let passed = (running - agedAt).nanoseconds / 1_000_000_000
        guard passed >= 60 else { return nil }
        agedAt = agedAt + .seconds(passed)
        return UInt64(passed)
    }

    /// Whether the time for which the program did not run is to be counted now: once, when the time is `isKnown`.
    mutating func countsTimeOff(_ isKnown: Bool) -> Bool {
        guard isKnown, !hasAgedWhileOff else { return false }
        hasAgedWhileOff = true
        return true
    }
}

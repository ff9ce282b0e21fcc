/// The time as two numbers: minutes of the wall clock, and milliseconds for intervals that never go back.
struct SwarmClock: Sendable {
    /// Milliseconds since 1970 by the wall clock.
    private var wall: UInt64
    /// The wall clock's first value and all its later steps forward, in milliseconds; a step counts as at most a day.
    private(set) var steady: UInt64

    /// The clock at `wall`, in milliseconds since 1970.
    init(_ wall: UInt64) {
        self.wall = Self.limited(wall)
        steady = self.wall
    }

    /// The current minute; a clock that is absurdly far ahead stands still.
    var minute: UInt32 { UInt32(wall / 60_000) }

    /// Sets the wall clock; true if it was set back.
    mutating func advance(to wall: UInt64) -> Bool {
        let wall = Self.limited(wall)
        defer { self.wall = wall }
        if wall > self.wall { steady += min(wall - self.wall, SwarmLimits.clockStep) }
        return wall < self.wall
    }

    private static func limited(_ wall: UInt64) -> UInt64 { min(wall, (1 << 31) * 60_000) }
}

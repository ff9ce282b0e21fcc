internal import Wire

/// Paces the builds of a session's legs.
struct LegBuilds {
    /// The most builds at once while there is no leg.
    ///
    /// Two begin at once; each further one begins when the last is `slowAfter` old.
    static let withoutLeg = 4
    static let slowAfter = TimeSpan.seconds(1)
    /// The wait before a standby leg is tried again when no guard takes builds.
    static let standbyPause = TimeSpan.seconds(1)
    /// The first and the longest wait between builds over another guard while all legs share one; it doubles.
    static let apartPause = (first: TimeSpan.seconds(15), longest: TimeSpan.seconds(600))

    private var underWay = 0
    /// The failures in a row.
    private var failures = 0
    private var next = Instant(nanoseconds: 0)
    private var last = Instant(nanoseconds: 0)
    private var nextApart = Instant(nanoseconds: 0)
    private var apartPause = LegBuilds.apartPause.first

    /// Whether another build may begin now.
    func mayBegin(isLegless: Bool, at now: Instant) -> Bool {
        // Without a leg, two are built at once. A build that waits for a dead hop does not hold up another.
        let isSlow = now - last >= Self.slowAfter
        return underWay < (isLegless ? isSlow ? Self.withoutLeg : 2 : 1) && now >= next
    }

    /// Notes that a build begins.
    mutating func began(at now: Instant) {
        underWay += 1
        last = now
    }

    /// Notes that a build gave a path.
    mutating func succeeded() {
        underWay -= 1
        failures = 0
    }

    /// Notes that a build has failed.
    mutating func failed(at now: Instant) {
        underWay -= 1
        failures += 1
        next = now + PathPool.pause(after: failures)
    }

    /// Notes that no guard takes the build; a session with a leg waits before it tries again.
    mutating func refused(isLegless: Bool, at now: Instant) {
        underWay -= 1
        if !isLegless { next = now + Self.standbyPause }
    }

    /// Whether a build over another guard than that of all legs may begin now.
    func mayBeginApart(at now: Instant) -> Bool { now >= nextApart }

    /// Notes that such a build is tried.
    mutating func triedApart(at now: Instant) {
        nextApart = now + apartPause
        apartPause = min(apartPause * 2, Self.apartPause.longest)
    }
}

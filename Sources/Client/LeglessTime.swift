import Wire

/// How long a session lives without a leg.
///
/// Builds that fail at other hops prove nothing about the exit, so they extend the wait: no stream ends because several
/// nodes die at once. The wait is at most ``longest``, because an app must learn that its stream cannot continue. Time
/// in which no guard can be reached or accepts a build does not count: the client's own line is down, or its own limits
/// delay the build. A leg over which the exit has not answered does not end the wait.
///
/// After a build has named the exit, other failures no longer extend the wait: the client does not wait for a dead exit
/// because other hops are dead too.
struct LeglessTime {
    /// How long a session lives if no build fails or is delayed.
    static let limit = TimeSpan.seconds(6)
    /// How long a session lives while builds fail at other hops.
    static let longest = TimeSpan.seconds(8)
    /// How long a session lives while no guard can be reached or accepts a build: as long as the exit keeps the
    /// session.
    static let longestHeldUp = TimeSpan.seconds(60)
    /// The failures in a row that end a session: builds that named the exit, or new legs over which it never answered.
    static let exitFailureLimit = 2

    private var exitFailures = 0
    /// When the last leg with an answer of the exit was lost, and when builds were last delayed since then.
    private var waiting: (since: Instant, heldUp: Instant)?
    /// When the session ends if no leg is added; nil while it has one.
    private var until: Instant?

    /// Notes that the last leg was lost; `wasAnswered` says whether the exit had ever answered over it.
    ///
    /// An exit that has restarted does not know the session, and ends the paths that try to join it.
    mutating func began(wasAnswered: Bool, at now: Instant) {
        exitFailures = wasAnswered ? 0 : exitFailures + 1
        if wasAnswered || waiting == nil { waiting = (now, now) }
        until = now + Self.limit
        if !wasAnswered, let waiting { until = min(now + Self.limit, waiting.heldUp + Self.longest) }
    }

    /// Notes that a leg was added.
    mutating func ended() { until = nil }

    /// Notes that the exit has answered over a leg.
    mutating func answered() { (exitFailures, waiting) = (0, nil) }

    /// Notes that a build failed and named the exit.
    mutating func exitFailed() { exitFailures += 1 }

    /// Notes that a build failed at another hop than the exit.
    mutating func othersFailed(at now: Instant) {
        guard let until, let waiting, exitFailures == 0 else { return }
        self.until = max(until, min(now + Self.limit, waiting.heldUp + Self.longest))
    }

    /// Notes that no guard can be reached, or that none accepts a build now.
    mutating func heldUp(at now: Instant) {
        guard let until, let waiting, now < waiting.since + Self.longestHeldUp else { return }
        self.waiting?.heldUp = now
        guard exitFailures == 0 else { return }
        self.until = max(until, min(now + Self.limit, waiting.since + Self.longestHeldUp))
    }

    /// Whether the session has no leg.
    var isNow: Bool { until != nil }

    /// Whether the session has lost its last leg, and the exit has answered over none since.
    var isUnanswered: Bool { waiting != nil }

    /// Whether the session has been without a leg for too long, or the exit accepts no other.
    func isOver(at now: Instant) -> Bool {
        until.map { now > $0 || exitFailures >= Self.exitFailureLimit } ?? false
    }
}

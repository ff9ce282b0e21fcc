import Wire

/// How long a session lives without a leg.
///
/// Builds that fail at other hops say nothing about the exit, so they prolong the wait: the death of several nodes at
/// once ends no stream. They prolong it up to ``longest``, since an app must be told of a stream that cannot go on. The
/// time in which no guard can be reached or takes a build does not count: the client's own line is down, or its own
/// limits hold it up. A leg over which the exit has not answered does not end the wait.
///
/// After a build has named the exit, other failures no longer prolong the wait: a dead exit is not waited for because
/// other hops are dead too.
struct LeglessTime {
    /// How long it lives without news.
    static let limit = TimeSpan.seconds(6)
    /// How long it lives while builds fail at other hops.
    static let longest = TimeSpan.seconds(8)
    /// How long it lives while no guard can be reached or takes a build: as long as the exit keeps the session.
    static let longestHeldUp = TimeSpan.seconds(60)
    /// This many failures in a row end it: builds that named the exit, or new legs over which it never answered.
    static let exitFailureLimit = 2

    private var exitFailures = 0
    /// When the last leg with an answer of the exit was lost, and when builds were last held up since then.
    private var waiting: (since: Instant, heldUp: Instant)?
    /// When the session ends if no leg comes; nil while it has one.
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

    /// Notes that no guard can be reached, or that none takes a build now.
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

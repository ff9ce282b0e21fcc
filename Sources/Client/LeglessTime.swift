import Wire

/// How long a session goes on without a leg.
///
/// Builds that fail at other hops say nothing of the exit, so they prolong the wait: the death of several nodes at once ends no
/// stream. They do so up to ``longest``, since an app is told of a stream that cannot go on rather than left without a word.
/// The time in which no guard could be reached, or took a build, does not count for that: it is the client's own line that is
/// down then, or its own limits that hold it up. A leg over which the exit has not answered ends no wait.
///
/// Once a build has named the exit, no other prolongs it: a dead exit is not waited for because further hops are dead.
struct LeglessTime {
    /// How long it goes on without news.
    static let limit = TimeSpan.seconds(6)
    /// How long it goes on while other hops are in the way.
    static let longest = TimeSpan.seconds(8)
    /// How long it goes on while no guard can be reached or takes a build: as long as the exit keeps it.
    static let longestHeldUp = TimeSpan.seconds(60)
    /// How many builds to the exit may fail one after the other, the exit itself named or the new leg never answered.
    static let exitFailureLimit = 2

    private var exitFailures = 0
    /// When the last leg went that the exit had answered over, and until when no guard took a build since then.
    private var waiting: (since: Instant, heldUp: Instant)?
    /// When the session ends if no leg comes; nil while it has one.
    private var until: Instant?

    /// The last leg has gone; `wasAnswered` says whether the exit had ever answered over it.
    ///
    /// An exit that was started anew knows nothing of the session, and ends the paths that are to join it.
    mutating func began(wasAnswered: Bool, at now: Instant) {
        exitFailures = wasAnswered ? 0 : exitFailures + 1
        if wasAnswered || waiting == nil { waiting = (now, now) }
        until = now + Self.limit
        if !wasAnswered, let waiting { until = min(now + Self.limit, waiting.heldUp + Self.longest) }
    }

    /// A leg has come.
    mutating func ended() { until = nil }

    /// The exit has answered over a leg.
    mutating func answered() { (exitFailures, waiting) = (0, nil) }

    /// A build has failed, and the exit was named.
    mutating func exitFailed() { exitFailures += 1 }

    /// A build has failed at a hop between the guard and the exit.
    mutating func othersFailed(at now: Instant) {
        guard let until, let waiting, exitFailures == 0 else { return }
        self.until = max(until, min(now + Self.limit, waiting.heldUp + Self.longest))
    }

    /// No guard can be reached, or none takes a build now.
    mutating func heldUp(at now: Instant) {
        guard let until, let waiting, now < waiting.since + Self.longestHeldUp else { return }
        self.waiting?.heldUp = now
        guard exitFailures == 0 else { return }
        self.until = max(until, min(now + Self.limit, waiting.since + Self.longestHeldUp))
    }

    /// Whether the session has no leg.
    var isNow: Bool { until != nil }

    /// Whether the session has lost its last leg, and the exit has answered over none since then.
    var isUnanswered: Bool { waiting != nil }

    /// Whether the session has been without a leg for too long, or the exit does not take another.
    func isOver(at now: Instant) -> Bool {
        until.map { now > $0 || exitFailures >= Self.exitFailureLimit } ?? false
    }
}

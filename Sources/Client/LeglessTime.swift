import Wire

/// How long a session goes on without a leg.
///
/// Builds that fail at other hops say nothing of the exit, so they prolong the wait up to ``longest``: the death of several
/// nodes at once ends no stream. Once a build has named the exit, no other prolongs it: a dead exit is not waited for because
/// further hops are dead.
struct LeglessTime {
    /// How long it goes on without news.
    static let limit = TimeSpan.seconds(6)
    /// How long it goes on while other hops are in the way: as long as the exit keeps it.
    static let longest = TimeSpan.seconds(60)
    /// How many builds to the exit may fail one after the other, the exit itself named or the new leg never answered.
    static let exitFailureLimit = 2

    private var exitFailures = 0
    /// When the last leg went, and when the session ends if no other comes.
    private var wait: (since: Instant, until: Instant)?

    /// The last leg has gone; `wasAnswered` says whether the exit had ever answered over it.
    ///
    /// An exit that was started anew knows nothing of the session, and ends the paths that are to join it.
    mutating func began(wasAnswered: Bool, at now: Instant) {
        wait = (now, now + Self.limit)
        exitFailures = wasAnswered ? 0 : exitFailures + 1
    }

    /// A leg has come.
    mutating func ended() { wait = nil }

    /// The exit has answered over a leg.
    mutating func answered() { exitFailures = 0 }

    /// A build has failed, and the exit was named.
    mutating func exitFailed() { exitFailures += 1 }

    /// A build has failed at another hop, or no guard takes one.
    mutating func othersFailed(at now: Instant) {
        guard let wait, exitFailures == 0 else { return }
        self.wait = (wait.since, max(wait.until, min(now + Self.limit, wait.since + Self.longest)))
    }

    /// Whether the session has no leg.
    var isNow: Bool { wait != nil }

    /// Whether the session has been without a leg for too long, or the exit does not take another.
    func isOver(at now: Instant) -> Bool {
        wait.map { now > $0.until || exitFailures >= Self.exitFailureLimit } ?? false
    }
}

internal import Wire

/// When the client asks for news of the network, and whether its questions succeeded.
struct FetchSchedule {
    /// Whether a node is being asked, or an inquiry is under way.
    private(set) var isUnderWay = false
    /// When the present question or inquiry began.
    var since = Instant(nanoseconds: 0)
    /// When the next question is due.
    var next = Instant(nanoseconds: 0)
    /// How many questions in a row have failed.
    var failures = 0
    /// Whether a question has succeeded since the start; until then no guard is replaced for lack of its descriptor.
    private(set) var hasSucceeded = false

    /// Notes that a question or an inquiry begins.
    mutating func begin(at now: Instant) { (isUnderWay, since) = (true, now) }

    /// Ends the question or the inquiry without a result; the next one may begin at once.
    mutating func abandon(at now: Instant) { (isUnderWay, next) = (false, now) }

    /// Notes the end of a question or an inquiry.
    ///
    /// The next one is due `refresh` after a good one, and soon after a failed one.
    mutating func end(_ isGood: Bool, at now: Instant, refresh: TimeSpan) {
        isUnderWay = false
        if isGood { hasSucceeded = true }
        failures = isGood ? 0 : failures + 1
        next = now + (isGood ? refresh : PathPool.pause(after: failures))
    }

    /// Moves the next question forward to `time`, unless it is due within three seconds.
    mutating func hasten(to time: Instant, at now: Instant) { if next > now + .seconds(3) { next = time } }
}

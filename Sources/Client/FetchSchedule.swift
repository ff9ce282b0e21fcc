internal import Wire

/// When the client asks for what is new, and how its questions have gone.
struct FetchSchedule {
    /// Whether a node is being asked, or an inquiry is under way.
    private(set) var isUnderWay = false
    /// Since when one node is asked alone.
    var since = Instant(nanoseconds: 0)
    /// When the next question is due.
    var next = Instant(nanoseconds: 0)
    /// How many questions in a row have failed.
    var failures = 0
    /// Whether a node has been asked since the start: until then guards are not replaced for want of their descriptors.
    private(set) var hasSucceeded = false

    /// A question begins.
    mutating func begin(at now: Instant) { (isUnderWay, since) = (true, now) }

    /// The question, or the inquiry, is given up without a result: the next may begin at once.
    mutating func abandon(at now: Instant) { (isUnderWay, next) = (false, now) }

    /// A question, or an inquiry, is over; the next one comes `refresh` after a good one, and soon after a failed one.
    mutating func end(_ isGood: Bool, at now: Instant, refresh: TimeSpan) {
        isUnderWay = false
        if isGood { hasSucceeded = true }
        failures = isGood ? 0 : failures + 1
        next = now + (isGood ? refresh : PathPool.pause(after: failures))
    }

    /// Brings the next question to `time`, unless it comes within three seconds.
    mutating func hasten(to time: Instant, at now: Instant) { if next > now + .seconds(3) { next = time } }
}

internal import Wire

/// Keeps requests to a node within the rate that it accepts (protocol.md, section 10.6), so that it refuses none.
///
/// Requests that were sent apart may arrive together. So the burst is the node's burst minus half a second's rate, or
/// minus a quarter of the burst if that is less.
struct Pace {
    /// The first pause after a refusal, and the longest; each one in a row doubles it.
    static let pause = (first: TimeSpan.milliseconds(250), longest: TimeSpan.seconds(8))

    private let perSecond: Double
    private let burst: Double
    private var tokens: Double
    private var last: Instant
    /// No request is sent before this: the node has refused one.
    private(set) var pausedUntil = Instant(nanoseconds: 0)
    /// The tokens that refusals have taken since the node last accepted a request.
    private var taken = 0.0
    /// How many pauses there were since the node last accepted a request.
    private(set) var refusals = 0

    /// A pace for a node that accepts `perSecond` requests a second, and `burst` at once.
    init(perSecond: Int, burst: Int, now: Instant) {
        self.perSecond = Double(perSecond)
        self.burst = max(1, Double(burst) - min(Double(burst) / 4, Double(perSecond) / 2))
        tokens = self.burst
        last = now
    }

    /// Whether a request may be sent that leaves the part `reserve` of the burst for more urgent ones.
    mutating func admits(reserve: Double = 0, _ now: Instant) -> Bool {
        tokens = min(burst, tokens + (now - last).inSeconds * perSecond)
        last = now
        return now >= pausedUntil && tokens >= max(1, min(burst, 1 + burst * reserve))
    }

    /// Counts a request that `admits` has allowed.
    mutating func take() { tokens -= 1 }

    /// The node has refused a request: it gets none for a while, longer each time.
    ///
    /// Refusals during a pause do not count.
    mutating func refused(_ now: Instant) {
        guard now >= pausedUntil else { return }
        pausedUntil = now + min(Self.pause.first * Int64(1 << min(refusals, 8)), Self.pause.longest)
        refusals += 1
        taken += tokens
        tokens = 0
    }

    /// What looked like a refusal was none: the node gets requests again.
    mutating func excused() {
        pausedUntil = Instant(nanoseconds: 0)
        tokens = min(burst, tokens + taken)
        accepted()
    }

    /// The node has accepted a request.
    mutating func accepted() { (refusals, taken) = (0, 0) }
}

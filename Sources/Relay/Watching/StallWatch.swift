internal import Wire

/// Detects that this process has stood still, because it then cannot tell other nodes' silence from its own.
struct StallWatch {
    /// The time without a tick after which the process counts as having stood still.
    private static let limit = TimeSpan.seconds(5)

    private var lastTick: Instant
    private var lastStall: Instant?

    /// Begins to watch at `now`.
    init(at now: Instant) { lastTick = now }

    /// Notes that the process runs; returns whether it had stood still.
    ///
    /// To be called once a second or more often.
    @discardableResult
    mutating func tick(at now: Instant) -> Bool {
        let isStalled = isStalled(at: now)
        if isStalled { lastStall = now }
        lastTick = now
        return isStalled
    }

    /// Whether the process stood still during a test from `began` to `now`, so that the test has no result.
    func voids(testSince began: Instant, at now: Instant) -> Bool {
        isStalled(at: now) || lastStall.map { $0 >= began } ?? false
    }

    private func isStalled(at now: Instant) -> Bool { now - lastTick > Self.limit }
}

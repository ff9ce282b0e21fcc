internal import Wire

/// Notices that this process has stood still: then it cannot tell others' silence from its own.
struct StallWatch {
    /// A process that did nothing for so long has stood still.
    private static let limit = TimeSpan.seconds(5)

    private var lastTick: Instant
    private var lastStall: Instant?

    /// Begins to watch at `now`.
    init(at now: Instant) { lastTick = now }

    /// The process runs; to be called once a second or more often.
    mutating func tick(at now: Instant) {
        if isStalled(at: now) { lastStall = now }
        lastTick = now
    }

    /// Whether a test that began at `began` and ends at `now` tells nothing, because the process stood still meanwhile.
    func voids(testSince began: Instant, at now: Instant) -> Bool {
        isStalled(at: now) || lastStall.map { $0 >= began } ?? false
    }

    private func isStalled(at now: Instant) -> Bool { now - lastTick > Self.limit }
}

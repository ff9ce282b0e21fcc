internal import Wire

/// Statistics of path builds.
struct BuildCounts {
    /// How many build times are kept.
    private static let limit = 100

    /// Paths that were built.
    private(set) var built: UInt64 = 0
    /// Builds that failed, including those that could not begin.
    private(set) var failed: UInt64 = 0
    /// How long the last builds took, the newest last.
    private(set) var times: [TimeSpan] = []
    /// Why the last build failed; nil if one has succeeded since.
    private(set) var lastFailure: PathFailure?
    /// When a path was built last.
    private(set) var lastBuilt = Instant(nanoseconds: 0)

    /// Notes that a path was built in `time`.
    mutating func succeeded(in time: TimeSpan, at now: Instant) {
        built += 1
        lastFailure = nil
        lastBuilt = now
        if times.count >= Self.limit { times.removeFirst() }
        times.append(time)
    }

    /// Notes that a build has failed.
    mutating func failed(_ failure: PathFailure) {
        failed += 1
        lastFailure = failure
    }
}

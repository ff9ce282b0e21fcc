public import Wire

/// The times of storage tests, which follow the length of an epoch.
public struct StorageTiming: Hashable, Sendable {
    /// The times of the tester: the first retry is a sixth of the time for which a quorum may judge.
    public var tester: Tester.Timing
    /// The time between two new test items on average, and how many may come at once after a quiet time.
    public var storeInterval: TimeSpan
    /// The wait before a node that did not show an item is asked again.
    public var pause: TimeSpan
    /// For how long after a snapshot a node may not know it yet.
    public var settling: TimeSpan
    /// For how long a node that has entered a swarm may be out of date.
    public var joining: TimeSpan
    /// The least age of an item for which a node is asked, in seconds.
    public var leastAge: UInt64
    /// The greatest age of one.
    public var mostAge: UInt64

    /// How many new test items may come at once after a quiet time.
    static let storesAtOnce: Int64 = 8

    /// Times for epochs of this length, where a quorum may judge for `judging`.
    ///
    /// With epochs of an hour and two hours for judging: a random test every 6 minutes, a new item every minute at most,
    /// items of 20 minutes to 13 days, 5 minutes between two questions for one item.
    public init(epochSeconds: UInt64, judging: TimeSpan) {
        let epoch = TimeSpan.seconds(Int64(clamping: min(epochSeconds, 604_800)))
        let first = max(.seconds(2), TimeSpan(nanoseconds: judging.nanoseconds / 6))
        tester = Tester.Timing(
            interval: max(.seconds(1), TimeSpan(nanoseconds: epoch.nanoseconds / 10)), firstRetry: first,
            longestRetry: first * 3, measureAfter: judging, freshness: judging)
        storeInterval = max(.milliseconds(250), TimeSpan(nanoseconds: epoch.nanoseconds / 60))
        pause = max(.seconds(1), TimeSpan(nanoseconds: epoch.nanoseconds / 12))
        settling = pause
        joining = epoch * 6
        leastAge = max(2, min(epochSeconds, 604_800) / 3)
        mostAge = 13 * 86_400
    }
}

internal import Wire

/// The estimate of a leg's round-trip time (RFC 9002, section 5).
struct RoundTrip {
    private static let granularity = TimeSpan.milliseconds(1)

    private(set) var smoothed: TimeSpan
    private(set) var variation: TimeSpan
    private(set) var latest: TimeSpan
    /// The smallest sample ever; nil before the first.
    private(set) var smallest: TimeSpan?
    /// The latest sample minus the part of the peer's delay that is believed; not below the smallest sample.
    private(set) var adjusted: TimeSpan

    init(initial: TimeSpan?) {
        let start = initial.map { max($0, .microseconds(100)) } ?? .milliseconds(200)
        smoothed = start
        latest = start
        adjusted = start
        variation = initial == nil ? start / 2 : start / 4
    }

    /// Takes a sample with the delay that the peer claims.
    ///
    /// A claim counts only up to the delay of an honest peer with this estimate. Otherwise a receiver could hide the
    /// queue of any path behind the longest delay, and get more than its share.
    mutating func sample(_ raw: TimeSpan, claimedDelay: TimeSpan) {
        latest = max(raw, .microseconds(1))
        guard let before = smallest else {
            smallest = latest
            adjusted = latest
            smoothed = latest
            variation = latest / 2
            return
        }
        smallest = min(before, latest)
        adjusted = max(latest - min(claimedDelay, ackDelay), min(before, latest))
        let difference = smoothed > adjusted ? smoothed - adjusted : adjusted - smoothed
        variation = (variation * 3 + difference) / 4
        smoothed = (smoothed * 7 + adjusted) / 8
    }

    /// The probe timeout without backoff.
    var probeTimeout: TimeSpan { smoothed + max(variation * 4, Self.granularity) + ackDelay }

    /// How long an acknowledgement may be delayed, on either side: a quarter of the round trip, within 1 and 40 ms.
    var ackDelay: TimeSpan { min(max(smoothed / 4, .milliseconds(1)), .milliseconds(40)) }
}

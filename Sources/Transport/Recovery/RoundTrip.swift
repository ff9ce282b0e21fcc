internal import Wire

/// The estimate of a leg's round-trip time (RFC 9002, section 5).
struct RoundTrip {
    private static let granularity = TimeSpan.milliseconds(1)

    private(set) var smoothed: TimeSpan
    private(set) var variation: TimeSpan
    private(set) var latest: TimeSpan
    /// The smallest sample ever; nil before the first.
    private(set) var smallest: TimeSpan?
    /// The latest sample minus the peer's delay, but not below the smallest.
    private(set) var adjusted: TimeSpan

    init(initial: TimeSpan?) {
        let start = initial.map { max($0, .microseconds(100)) } ?? .milliseconds(200)
        smoothed = start
        latest = start
        adjusted = start
        variation = initial == nil ? start / 2 : start / 4
    }

    var hasSample: Bool { smallest != nil }

    mutating func sample(_ raw: TimeSpan, ackDelay: TimeSpan) {
        latest = max(raw, .microseconds(1))
        guard let before = smallest else {
            smallest = latest
            adjusted = latest
            smoothed = latest
            variation = latest / 2
            return
        }
        smallest = min(before, latest)
        adjusted = max(latest - ackDelay, min(before, latest))
        let difference = smoothed > adjusted ? smoothed - adjusted : adjusted - smoothed
        variation = (variation * 3 + difference) / 4
        smoothed = (smoothed * 7 + adjusted) / 8
    }

    /// The probe timeout without backoff.
    var probeTimeout: TimeSpan { smoothed + max(variation * 4, Self.granularity) + ackDelay }

    /// How long the peer may delay an acknowledgement: a quarter of the round trip, within 1 and 40 ms.
    var ackDelay: TimeSpan { min(max(smoothed / 4, .milliseconds(1)), .milliseconds(40)) }
}

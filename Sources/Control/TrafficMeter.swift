/// The rates of the last ten seconds, from counters that are sampled once a second.
public struct TrafficMeter: Sendable {
    private struct Sample {
        var time: UInt64
        var total: StatusReport.Traffic
    }

    /// The last samples, oldest first.
    private var samples: [Sample] = []
    /// How many samples are kept: ten intervals of a second.
    private static let sampleLimit = 11

    /// A meter without samples, whose rates are zero.
    public init() {}

    /// Adds a sample of the counters at `time`, in nanoseconds of a monotonic clock.
    public mutating func record(_ total: StatusReport.Traffic, at time: UInt64) {
        if samples.count == Self.sampleLimit { samples.removeFirst() }
        samples.append(Sample(time: time, total: total))
    }

    /// The growth of the counters per second, between the oldest and the newest sample.
    public var rate: StatusReport.Traffic {
        guard let first = samples.first, let last = samples.last, last.time > first.time else { return .init() }
        let seconds = Double(last.time - first.time) / 1e9
        func perSecond(_ counter: KeyPath<StatusReport.Traffic, UInt64>) -> UInt64 {
            let (before, after) = (first.total[keyPath: counter], last.total[keyPath: counter])
            return after > before ? UInt64((Double(after - before) / seconds).rounded()) : 0
        }
        return .init(
            packetsIn: perSecond(\.packetsIn), packetsOut: perSecond(\.packetsOut), bytesIn: perSecond(\.bytesIn),
            bytesOut: perSecond(\.bytesOut))
    }
}

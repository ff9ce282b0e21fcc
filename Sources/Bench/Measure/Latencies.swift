internal import Histogram

/// A distribution of times, with three significant digits, in constant memory.
public struct Latencies: Sendable {
    /// The longest time that can be recorded, ten minutes.
    ///
    /// Longer ones are recorded as this.
    static let longest: UInt64 = 600_000_000_000

    private var histogram = Histogram<UInt32>(
        lowestDiscernibleValue: 1, highestTrackableValue: Self.longest, numberOfSignificantValueDigits: .three)

    /// An empty distribution.
    public init() {}

    /// The number of times.
    public var count: Int { Int(histogram.totalCount) }

    /// Records one time, in nanoseconds.
    public mutating func record(_ nanoseconds: UInt64) { histogram.record(min(nanoseconds, Self.longest)) }

    /// The time in microseconds that `percentile` percent of all times do not exceed; nil if there are too few times.
    ///
    /// A percentile above 50 needs at least one time beyond it.
    public func microseconds(atPercentile percentile: Double) -> Double? {
        guard count > 0, Double(count) * (100 - percentile) >= 99.999 || percentile <= 50 else { return nil }
        return Double(histogram.valueAtPercentile(percentile)) / 1000
    }

    /// The longest time in microseconds; nil if there are none.
    public var longestMicroseconds: Double? { count == 0 ? nil : Double(histogram.max) / 1000 }

    /// The points of a chart: percentiles from 0 to the last that the number of times supports, denser towards 100.
    public var distribution: [(percentile: Double, microseconds: Double)] {
        var points: [(percentile: Double, microseconds: Double)] = []
        var rest = 100.0
        while count > 0, Double(count) * rest >= 99.999 {
            for step in 0..<8 {
                let percentile = 100 - rest * (1 - 0.9 * Double(step) / 8)
                guard let time = microseconds(atPercentile: percentile) else { break }
                points.append((percentile, time))
            }
            rest /= 10
        }
        return points
    }
}

internal import Histogram

/// Times of many events, to three digits, in constant memory.
public struct Latencies: Sendable {
    /// The longest time that is told apart from longer ones: ten minutes.
    static let longest: UInt64 = 600_000_000_000

    private var histogram = Histogram<UInt32>(
        lowestDiscernibleValue: 1, highestTrackableValue: Self.longest, numberOfSignificantValueDigits: .three)

    /// No times.
    public init() {}

    /// How many there are.
    public var count: Int { Int(histogram.totalCount) }

    /// Adds one, in nanoseconds.
    public mutating func record(_ nanoseconds: UInt64) { histogram.record(min(nanoseconds, Self.longest)) }

    /// The time in microseconds that so many percent of all do not exceed; nil where too few were taken for that to mean anything.
    ///
    /// Too few is: under one sample on the far side of the percentile.
    public func microseconds(atPercentile percentile: Double) -> Double? {
        guard count > 0, Double(count) * (100 - percentile) >= 99.999 || percentile <= 50 else { return nil }
        return Double(histogram.valueAtPercentile(percentile)) / 1000
    }

    /// The longest time in microseconds, nil without any.
    public var longestMicroseconds: Double? { count == 0 ? nil : Double(histogram.max) / 1000 }

    /// The percentiles of a chart, from 0 to the last one that the samples can tell, denser towards the end.
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

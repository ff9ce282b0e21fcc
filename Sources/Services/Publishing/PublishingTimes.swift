internal import Swarm
internal import Wire

/// When a publisher acts (protocol.md, section 14.5).
enum PublishingTimes {
    /// The least and the longest time after which a descriptor is made anew, in milliseconds.
    static let renewal: ClosedRange<Int64> = 3_000_000...4_200_000
    /// The age of a version in minutes, by network time, above which it is replaced at once.
    ///
    /// A version is stored within the ten minutes of its `created`, and renewed after the longest time at most.
    static let oldestMinutes = UInt32(renewal.upperBound / 60_000) + SwarmLimits.rangeMinutes
    /// Within how many milliseconds a change is published under one period, and under the other one.
    static let urgent: [ClosedRange<Int64>] = [0...1_000, 0...5_000]
    /// Within how many milliseconds a service publishes under a period that has begun.
    static let newPeriod: ClosedRange<Int64> = 0...300_000
    /// The least time between two descriptors of one period.
    static let apart = TimeSpan.seconds(10)
    /// How many replicas are asked at once.
    static let atOnce = 3
    /// How long a replica may take before another one is asked too: a coordinator answers within 1.5 s.
    static let patience = TimeSpan.seconds(3)
    /// How long a round of questions may take.
    static let roundTime = TimeSpan.seconds(30)
    /// The pause after a round without success, in milliseconds; it doubles up to the longest.
    static let firstPause: Int64 = 10_000
    static let longestPause: Int64 = 600_000
    /// How often in a row a refusal by a newer version is followed at once.
    static let leads = 3

    /// The pause after so many failures in a row: doubled each time, and drawn within a quarter of it.
    static func pause(after failures: Int, using random: inout some RandomNumberGenerator) -> TimeSpan {
        let doubled = firstPause << Int64(min(max(failures, 1) - 1, 10))
        let pause = min(doubled, longestPause)
        return .drawn(pause * 3 / 4...pause * 5 / 4, using: &random)
    }
}

extension TimeSpan {
    /// A time of so many milliseconds, drawn evenly.
    static func drawn(_ range: ClosedRange<Int64>, using random: inout some RandomNumberGenerator) -> TimeSpan {
        .milliseconds(.random(in: range, using: &random))
    }
}

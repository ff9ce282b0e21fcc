/// The bucket for all bytes that pass a relay, in and out, of which it has so many in a month.
///
/// What the workers pass between two looks may overdraw it by some seconds. The debt is kept, so that no more passes in a
/// minute than the rate allows. But a link must not be taken for slow or dead. So a little may pass after each pause of
/// 0.4 s, however large the debt is.
struct PaceBucket {
    /// The longest pause, and the largest debt and credit as times at the rate, in seconds.
    private static let longestPause = 0.4, longestDebt = 10.0, longestCredit = 0.1

    /// The rate in bytes per second; 0 for no limit.
    var rate = 0.0
    private var level = 0.0
    /// How long the pause has lasted, in seconds.
    private var paused = 0.0
    /// How many bytes had passed at the last look.
    private var passed: UInt64 = 0

    /// No limit.
    init() {}

    /// An empty bucket, when so many bytes have passed.
    init(rate: Double, passed: UInt64) {
        self.rate = rate
        self.passed = passed
    }

    /// Fills the bucket for `time` seconds, and drains it by the bytes that have passed since the last look.
    mutating func fill(for time: Double, passed: UInt64) {
        // Workers count a packet and its drop at different times, so the number may fall by a few.
        let bytes = Double(Int64(truncatingIfNeeded: passed &- self.passed))
        self.passed = passed
        level = min(
            max(level + time * rate - bytes, -Self.longestDebt * rate), Self.longestCredit * rate)
        paused = level < 0 && paused < Self.longestPause ? paused + time : 0
    }

    /// The bytes that may pass before the next look; below 0 while nothing may.
    var content: Double { level < 0 && paused >= Self.longestPause ? 0 : level }
}

internal import Wire

/// Decides whether a responder is under load, so that nodes need a cookie too (protocol.md, section 3.6).
struct LoadMeter {
    private static let window = TimeSpan.seconds(1)
    private let threshold: Int
    private var windowStart: Instant
    private var count = 0
    private var wasOver = false

    init(threshold: Int, now: Instant) {
        self.threshold = threshold
        windowStart = now
    }

    /// Counts one initiation and says whether the responder is under load: above the threshold in this second or the
    /// last.
    mutating func count(now: Instant) -> Bool {
        let age = now - windowStart
        if age >= Self.window {
            wasOver = age < Self.window * 2 && count > threshold
            count = 0
            windowStart = now
        }
        count += 1
        return wasOver || count > threshold
    }
}

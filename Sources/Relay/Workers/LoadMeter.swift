internal import Wire

/// The share of time in which a thread uses a processor.
struct LoadMeter {
    private var last: (time: Instant, used: UInt64)?
    /// The share between the last two notes that were at least half a second apart: 0 to 1.
    private(set) var load = 0.0

    /// A draining relay is asked more often; the kernel counts in ticks of up to 10 ms.
    private static let shortest = TimeSpan.milliseconds(500)

    /// Notes the processor time in nanoseconds that the thread has used until `time`.
    mutating func note(_ used: UInt64, at time: Instant) {
        guard let last else { return self.last = (time, used) }
        let passed = time - last.time
        guard passed >= Self.shortest else { return }
        load = min(1, Double(used &- last.used) / 1e9 / passed.inSeconds)
        self.last = (time, used)
    }
}

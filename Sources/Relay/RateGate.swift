internal import EventLoop
internal import Links

/// Keeps a relay's sending to a rate, by a look at a counter every few milliseconds.
///
/// A bucket fills with the rate and is emptied by what was sent. While it is overdrawn nothing is received, so that nothing
/// new is forwarded: packets wait in the kernel or are lost, and the senders slow down. What waits in the kernel is kept short: it is
/// taken at one go when receiving goes on, so it is as much as the rate can be passed by, and how long packets wait.
final class RateGate {
    /// How often it looks, in nanoseconds.
    private static let interval: UInt64 = 5_000_000
    /// How long what waits in the kernel may take to be sent, in seconds, and the least and the most bytes that may wait.
    private static let wait = 0.05
    private static let leastWaiting = 16 << 10, mostWaiting = 8 << 20

    private let links: Links
    private let loop: Loop
    private let packetSize: Int
    private var rate: Double = 0
    private var burst: Double = 0
    private var level: Double = 0
    private var last: UInt64 = 0
    private var sent: UInt64 = 0
    private var timer: LoopTimer?

    init(links: Links, loop: Loop, packetSize: Int) {
        self.links = links
        self.loop = loop
        self.packetSize = packetSize
    }

    /// Keeps to `rate` bytes a second, with bursts of `burst` bytes after a pause, from now on; a rate of 0 is no limit.
    func limit(rate: Int64, burst: Int64) {
        self.rate = Double(rate)
        // A round of packets at the least.
        self.burst = max(burst > 0 ? Double(burst) : Double(rate), Double(64 * packetSize))
        guard rate > 0 else {
            close()
            links.isReceivePaused = false
            links.limitReceiveBuffer(to: 0)
            return
        }
        links.limitReceiveBuffer(to: min(max(Int(self.rate * Self.wait), Self.leastWaiting), Self.mostWaiting))
        level = min(level, self.burst)
        if timer == nil {
            level = self.burst
            (last, sent) = (loop.now, links.counters.packetsSent)
            let timer = LoopTimer(on: loop) { [unowned self] in look() }
            self.timer = timer
            timer.schedule(at: loop.now + Self.interval)
        }
    }

    /// Limits no more.
    func close() {
        timer?.close()
        timer = nil
    }

    private func look() {
        let now = loop.now
        let count = links.counters.packetsSent
        level += Double(now - last) / 1e9 * rate - Double(count - sent) * Double(packetSize)
        level = min(level, burst)
        (last, sent) = (now, count)
        let isOverdrawn = level < 0
        if isOverdrawn != links.isReceivePaused { links.isReceivePaused = isOverdrawn }
        timer?.schedule(at: now + Self.interval)
    }
}

internal import EventLoop
internal import Links

/// Limits the rate at which a relay sends, by checking a counter every few milliseconds.
///
/// A bucket fills at the rate, and the packets that were sent drain it. Each check sets how many packets may be sent
/// until the next check: the content of the bucket, at least a quantum, or none if the bucket is overdrawn.
///
/// When that number is sent, the relay pauses receiving, so nothing new is forwarded. Packets wait in the kernel or are
/// lost, and their senders slow down. The exit's sessions send without a packet from the network, so they check
/// ``admits`` before each packet, and wait.
///
/// Of several workers each may send an equal part. A worker that has sent its part pauses alone, and looks every few
/// milliseconds whether it may go on; the bucket is for all.
///
/// A second bucket is for all bytes that pass, in and out (``PaceBucket``).
///
/// The excess is at most a batch or the content of the kernel's buffer. The pauses are therefore short, far below the
/// silence after which a neighbour considers a link dead.
final class RateGate {
    /// The interval between checks in nanoseconds.
    private static let interval: UInt64 = 5_000_000
    /// The time in seconds in which the data in the kernel's receive buffer can be sent, which sets the buffer's size;
    /// and the limits of that size in bytes.
    private static let wait = 0.05
    private static let leastWaiting = 16 << 10, mostWaiting = 8 << 20
    /// The least that may be sent after a check unless the bucket is overdrawn: a time at the rate in seconds, and a
    /// number of packets.
    private static let quantum = 0.025
    private static let leastPackets = 8.0
    /// The least of it that each of several workers may send: a time at the rate in seconds, longer than the interval.
    private static let leastPart = 0.0075

    private let links: Links
    private let packetSize: Int
    private var rate: Double = 0
    private var burst: Double = 0
    private var level: Double = 0
    private var last: UInt64 = 0
    private var sent: UInt64 = 0
    /// The bucket for all bytes that pass, and how many have passed so far.
    private var month = PaceBucket()
    private var passed: (() -> UInt64)?
    private var timer: LoopTimer?
    /// The sessions that wait to send.
    private var queue = WakeQueue<HostedSession>()

    init(links: Links, packetSize: Int) {
        self.links = links
        self.packetSize = packetSize
    }

    /// Whether a session may send a packet now; if not, it must wait in the queue (``hold(_:hasSent:)``).
    var admits: Bool { links.maySend }

    /// Puts a session into the queue, in which it must not be yet; it continues after a check that admits packets.
    ///
    /// Sessions that have sent since they were last released continue after the others.
    func hold(_ session: HostedSession, hasSent: Bool) { queue.add(session, hadTurn: hasSent) }

    /// Releases the first sessions in the queue, at most `packets` of them.
    ///
    /// Each needs at least one packet; waking thousands that cannot send would take the loop's time.
    private func open(_ packets: UInt64) {
        for session in queue.release(Int(clamping: packets)) { session.goOn() }
    }

    /// Limits the rate to `rate` bytes per second, with bursts of `burst` bytes after a pause.
    ///
    /// A rate of 0 removes the limit. A burst of 0 is one second of the rate.
    func limit(rate: Int64, burst: Int64) {
        self.rate = Double(rate)
        // The burst is at least 64 packets.
        self.burst = max(burst > 0 ? Double(burst) : Double(rate), Double(64 * packetSize))
        level = timer == nil ? self.burst : min(level, self.burst)
        begin()
    }

    /// Limits all bytes that pass, in and out, to `rate` bytes per second; 0 removes that limit.
    ///
    /// `passed` tells how many have passed so far.
    func pace(_ rate: UInt64, passed: @escaping () -> UInt64) {
        let isNew = month.rate == 0
        guard rate > 0 || !isNew else { return }
        if isNew {
            month = PaceBucket(rate: Double(rate), passed: passed())
            (self.passed, last) = (passed, links.loop.now)
        } else {
            month.rate = Double(rate)
        }
        // A rate that differs a little needs no other buffers.
        if isNew || rate == 0 { begin() }
    }

    /// Begins to look at the counters, or ends that if there is no limit.
    private func begin() {
        guard lowest > 0 else {
            close()
            links.limitReceiveBuffer(to: 0)
            return
        }
        let size = min(max(Int(lowest * Self.wait), Self.leastWaiting), Self.mostWaiting)
        links.limitReceiveBuffer(to: max(size / links.workers, Self.leastWaiting))
        if timer == nil {
            (last, sent) = (links.loop.now, links.packetsSent)
            timer = LoopTimer(on: links.loop) { [unowned self] in look() }
        }
        look()
    }

    /// Fills the two buckets for `time` seconds, and drains them by the packets that were `sent` and by what has passed.
    private func fill(for time: Double, sent: UInt64) {
        // Without a rate a bucket stays empty, and does not count.
        if rate > 0 { level = min(level + time * rate - Double(sent) * Double(packetSize), burst) }
        guard month.rate > 0, let passed else { return }
        month.fill(for: time, passed: passed())
    }

    /// The lower one of the rates at which the buckets let be sent; 0 if there is no limit.
    private var lowest: Double { [rate, month.rate / 2].filter { $0 > 0 }.min() ?? 0 }

    /// The packets that the two buckets let be sent now, at least a quantum; none if one of them is overdrawn.
    private var packetsToAllow: UInt64 {
        var most = UInt64.max
        for (rate, level) in [(rate, level), (month.rate / 2, month.content / 2)] where rate > 0 {
            guard level >= 0 else { return 0 }
            let quantum = max(rate * Self.quantum / Double(packetSize), Self.leastPackets)
            most = min(most, UInt64(max(level / Double(packetSize), quantum)))
        }
        return most
    }

    /// Ends the limit and releases the sessions.
    func close() {
        timer?.close()
        timer = nil
        links.allow(nil, least: 0)
        open(.max)
    }

    private func look() {
        let now = links.loop.now
        let count = links.packetsSent
        fill(for: Double(now - last) / 1e9, sent: count - sent)
        (last, sent) = (now, count)
        let packets = packetsToAllow
        if packets == 0 {
            links.allow(0, least: 0)
        } else {
            // One worker may have all of the packets.
            let least = UInt64(max(lowest * Self.leastPart / Double(packetSize), 1))
            open(links.allow(packets, least: least))
        }
        timer?.schedule(at: now + Self.interval)
    }
}

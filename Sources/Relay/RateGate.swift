internal import EventLoop
internal import Links

/// Keeps a relay's sending to a rate, by a look at a counter every few milliseconds.
///
/// A bucket fills with the rate and is emptied by what was sent. Each look says how many packets may be sent until the next: what
/// the bucket holds, or a quantum when it holds less but is not overdrawn, or none. When they are sent nothing is received any more, so that
/// nothing new is forwarded (packets wait in the kernel or are lost, and the senders slow down), and the exit's sessions, which send of
/// their own accord and ask for each packet (``admits``), wait as well. Both can pass it by little, a batch or what the kernel's buffer holds, so that the
/// silence afterwards is short: far from what makes a neighbour take its link for dead.
final class RateGate {
    /// How often it looks, in nanoseconds.
    private static let interval: UInt64 = 5_000_000
    /// How long what waits in the kernel may take to be sent, in seconds, and the least and the most bytes that may wait.
    private static let wait = 0.05
    private static let leastWaiting = 16 << 10, mostWaiting = 8 << 20
    /// What may be sent after a look at an empty bucket: so many seconds of the rate, and the least in packets.
    private static let quantum = 0.025
    private static let leastPackets = 8.0

    private let links: Links
    private let packetSize: Int
    private var rate: Double = 0
    private var burst: Double = 0
    private var level: Double = 0
    private var last: UInt64 = 0
    private var sent: UInt64 = 0
    private var timer: LoopTimer?
    /// The sessions that are kept from sending: those that had no turn since sessions were let go on last, and those that had one.
    private var withoutTurn: [HostedSession] = []
    private var withTurn: [HostedSession] = []

    init(links: Links, packetSize: Int) {
        self.links = links
        self.packetSize = packetSize
    }

    /// Whether a session may send a packet now; if not, it waits in line (``hold(_:hasSent:)``).
    var admits: Bool { links.maySend }

    /// Puts a session that is not in line there; it goes on at the next look that lets it.
    ///
    /// Those that have sent since the last time go on after the others.
    func hold(_ session: HostedSession, hasSent: Bool) {
        if hasSent { withTurn.append(session) } else { withoutTurn.append(session) }
    }

    /// Lets the sessions in line go on.
    private func open() {
        for session in withoutTurn + withTurn { session.goOn() }
        withoutTurn.removeAll(keepingCapacity: true)
        withTurn.removeAll(keepingCapacity: true)
    }

    /// Keeps to `rate` bytes a second, with bursts of `burst` bytes after a pause, from now on; a rate of 0 is no limit.
    func limit(rate: Int64, burst: Int64) {
        self.rate = Double(rate)
        // A round of packets at the least.
        self.burst = max(burst > 0 ? Double(burst) : Double(rate), Double(64 * packetSize))
        guard rate > 0 else {
            close()
            links.limitReceiveBuffer(to: 0)
            return
        }
        links.limitReceiveBuffer(to: min(max(Int(self.rate * Self.wait), Self.leastWaiting), Self.mostWaiting))
        level = min(level, self.burst)
        if timer == nil {
            level = self.burst
            (last, sent) = (links.loop.now, links.counters.packetsSent)
            timer = LoopTimer(on: links.loop) { [unowned self] in look() }
        }
        look()
    }

    /// Limits no more.
    func close() {
        timer?.close()
        timer = nil
        links.sendCeiling = .max
        open()
    }

    private func look() {
        let now = links.loop.now
        let count = links.counters.packetsSent
        level += Double(now - last) / 1e9 * rate - Double(count - sent) * Double(packetSize)
        level = min(level, burst)
        (last, sent) = (now, count)
        if level < 0 {
            links.sendCeiling = count
        } else {
            let quantum = max(rate * Self.quantum / Double(packetSize), Self.leastPackets)
            links.sendCeiling = count + UInt64(max(level / Double(packetSize), quantum))
            open()
        }
        timer?.schedule(at: now + Self.interval)
    }
}

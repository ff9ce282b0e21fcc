internal import Wire

/// The hosts to which a UDP association has sent: the app's names for them, their rates, and who may answer.
///
/// Filtering is address-dependent (RFC 4787, section 5): a host that was sent a datagram may answer from any port.
struct FlowPeers {
    /// The most hosts; when they are reached, the eighth to which nothing was sent for longest is removed.
    static let limit = 1_024
    /// The rate and the burst of new hosts.
    ///
    /// A DHT contacts some dozens per second, a scanner as many as it can.
    static let newHosts = (perSecond: 100, burst: 512)
    /// The approximate memory of one host, in bytes.
    static let hostBytes = 256
    /// The most ports of one host with their own names; the oldest makes room.
    private static let portLimit = 16
    /// The bytes that a datagram counts in addition to its payload.
    static let datagramOverhead = 64
    /// The rate to a host that has not answered yet, so that a host that does not want the datagrams is not flooded.
    private static let unanswered = TokenBucket.Rate(perSecond: 256 << 10, burst: 512 << 10)
    /// The rate to a host that has answered.
    private static let answered = TokenBucket.Rate(perSecond: 16_384 << 10, burst: 4_096 << 10)

    private struct Peer {
        /// The names that the app used for the host, by port, the newest last.
        var names: [(port: UInt16, host: Destination.Host)]
        var hasAnswered = false
        var lastSent: Instant
        var budget: TokenBucket

        /// The approximate memory of the names, in bytes.
        var nameBytes: Int {
            names.reduce(0) { sum, name in
                if case .name(let text) = name.host { sum + 80 + text.text.utf8.count } else { sum + 48 }
            }
        }

        mutating func send(_ count: Int, port: UInt16, as host: Destination.Host, now: Instant) -> Bool {
            lastSent = now
            budget.change(to: hasAnswered ? answered : unanswered, now: now)
            guard budget.take(count + datagramOverhead, now: now) else { return false }
            if let last = names.last, last.port == port, last.host == host { return true }
            names.removeAll { $0.port == port }
            if names.count >= portLimit { names.removeFirst() }
            names.append((port, host))
            return true
        }

        mutating func answer(from port: UInt16) -> Destination.Host? {
            hasAnswered = true
            return (names.last { $0.port == port } ?? names.last)?.host
        }
    }

    private var peers: [IPAddress: Peer] = [:]
    private var newPeers: TokenBucket
    private var nameBytes = 0

    /// No hosts.
    init(now: Instant) {
        newPeers = TokenBucket(perSecond: Self.newHosts.perSecond, burst: Self.newHosts.burst, now: now)
    }

    /// The number of hosts.
    var count: Int { peers.count }
    /// The approximate memory of all hosts, in bytes.
    var heldBytes: Int { peers.count * Self.hostBytes + nameBytes }

    /// Counts `count` bytes to `port` at `address`, whose name in the app is `host`; returns a reason if they must be
    /// dropped.
    mutating func send(
        _ count: Int, to address: IPAddress, port: UInt16, as host: Destination.Host, now: Instant
    ) -> DatagramDrops.Reason? {
        if peers[address] == nil {
            guard newPeers.take(now: now) else { return .udpHosts }
            if peers.count >= Self.limit { forgetOldest() }
            peers[address] = Peer(names: [], lastSent: now, budget: TokenBucket(Self.unanswered, now: now))
        }
        nameBytes -= peers[address]?.nameBytes ?? 0
        let isSent = peers[address]?.send(count, port: port, as: host, now: now) ?? false
        nameBytes += peers[address]?.nameBytes ?? 0
        return isSent ? nil : .udpRate
    }

    private mutating func forgetOldest() {
        let oldest = peers.sorted { $0.value.lastSent < $1.value.lastSent }.prefix(Self.limit / 8)
        for entry in oldest {
            nameBytes -= entry.value.nameBytes
            peers[entry.key] = nil
        }
    }

    /// The source of a datagram from `port` at `address`, under the app's name; nil if nothing was sent to this host.
    mutating func received(from address: IPAddress, port: UInt16) -> Destination? {
        guard let name = peers[address]?.answer(from: port) else { return nil }
        return Destination(host: name, port: port)
    }
}

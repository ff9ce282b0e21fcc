internal import Wire

/// The hosts that a UDP association has spoken to: who may answer, under what name, and how much they may be sent.
///
/// Filtering is by address, as RFC 4787 (section 5) calls it: whoever was sent something may answer, from any port.
struct FlowPeers {
    /// The most hosts; those that were longest left alone make room, an eighth at once.
    static let limit = 1_024
    /// New hosts a second, and at once: a DHT asks some dozens a second, a scanner as many as it can.
    static let newHosts = (perSecond: 100, burst: 512)
    /// What a host costs in memory, about.
    static let hostBytes = 256
    /// The most ports of one host whose names are told apart; the oldest makes room.
    private static let portLimit = 16
    /// What a datagram costs beside its bytes.
    static let datagramOverhead = 64
    /// How many bytes may be sent to a host that has not answered yet, so that nobody is flooded who does not want to listen.
    private static let unanswered = TokenBucket.Rate(perSecond: 256 << 10, burst: 512 << 10)
    /// How many bytes may be sent to a host that has answered.
    private static let answered = TokenBucket.Rate(perSecond: 16_384 << 10, burst: 4_096 << 10)

    private struct Peer {
        /// The host as it was named for each port, the newest last.
        var names: [(port: UInt16, host: Destination.Host)]
        var hasAnswered = false
        var lastSent: Instant
        var budget: TokenBucket

        /// What the names take in memory, about.
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

    /// No hosts yet.
    init(now: Instant) {
        newPeers = TokenBucket(perSecond: Self.newHosts.perSecond, burst: Self.newHosts.burst, now: now)
    }

    /// How many hosts there are.
    var count: Int { peers.count }
    /// What all hosts take in memory, about.
    var heldBytes: Int { peers.count * Self.hostBytes + nameBytes }

    /// Notes that `count` bytes are to go to `port` at `address`, which the app calls `host`; or says why they may not.
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

    /// What a datagram from `port` at `address` comes from, in the app's words; `nil` for hosts that nothing was sent to.
    mutating func received(from address: IPAddress, port: UInt16) -> Destination? {
        guard let name = peers[address]?.answer(from: port) else { return nil }
        return Destination(host: name, port: port)
    }
}

internal import Wire

/// The hosts to which a UDP association has sent: the app's names for them, their rates, and who may answer.
///
/// Filtering is address-dependent (RFC 4787, section 5): a host that was sent a datagram may answer from any port. It
/// gets more than ``HostRates`` allows only once it has answered from a port that was sent to.
struct FlowPeers {
    /// The most hosts; when they are reached, the eighth to which nothing was sent for longest is removed.
    static let limit = 1_024
    /// The approximate memory of one host, in bytes.
    static let hostBytes = 256
    /// The most ports of one host with their own names; the oldest makes room.
    private static let portLimit = 16
    /// The bytes that a datagram counts in addition to its payload.
    static let datagramOverhead = 64
    /// The rate to a host that has answered.
    private static let answered = TokenBucket.Rate(perSecond: 16_384 << 10, burst: 4_096 << 10)

    private struct Peer {
        /// The names that the app used for the host, by port, the newest last.
        var names: [(port: UInt16, host: Destination.Host)]
        var hasAnswered = false
        var lastSent: Instant
        /// What may be sent once it has answered.
        var budget: TokenBucket

        /// The approximate memory of the names, in bytes.
        var nameBytes: Int {
            names.reduce(0) { sum, name in
                if case .name(let text) = name.host { sum + 80 + text.text.utf8.count } else { sum + 48 }
            }
        }

        mutating func note(_ port: UInt16, as host: Destination.Host) {
            if let last = names.last, last.port == port, last.host == host { return }
            names.removeAll { $0.port == port }
            if names.count >= portLimit { names.removeFirst() }
            names.append((port, host))
        }

        mutating func answer(from port: UInt16) -> Destination.Host? {
            let name = names.last { $0.port == port }
            if name != nil { hasAnswered = true }
            return (name ?? names.last)?.host
        }
    }

    /// Whom the association counts for.
    let share: StreamShare
    private var peers: [IPAddress: Peer] = [:]
    private var nameBytes = 0

    /// No hosts, of an association that counts for `share`.
    init(for share: StreamShare) { self.share = share }

    /// The number of hosts.
    var count: Int { peers.count }
    /// The approximate memory of all hosts, in bytes.
    var heldBytes: Int { peers.count * Self.hostBytes + nameBytes }

    /// Counts `count` bytes to `port` at `address`, whose name in the app is `host`, by the exit's `rates`; returns a
    /// reason if they must be dropped.
    mutating func send(
        _ count: Int, to address: IPAddress, port: UInt16, as host: Destination.Host, _ rates: inout HostRates,
        now: Instant
    ) -> DatagramDrops.Reason? {
        let isFirst = peers[address] == nil
        if isFirst {
            guard rates.takeHost(for: share, now: now) else { return .udpHosts }
            if peers.count >= Self.limit { forgetOldest() }
            peers[address] = Peer(names: [], lastSent: now, budget: TokenBucket(Self.answered, now: now))
        }
        peers[address]?.lastSent = now
        let cost = count + Self.datagramOverhead
        let mayGo: Bool
        if peers[address]?.hasAnswered == true {
            mayGo = peers[address]?.budget.take(cost, now: now) == true
            rates.noteAnswered(address, now: now)
        } else {
            mayGo =
                isFirst && rates.admitsFirst(count, to: address, now: now)
                || rates.take(cost, to: address, for: share.group, now: now)
        }
        guard mayGo else { return .udpRate }
        nameBytes -= peers[address]?.nameBytes ?? 0
        peers[address]?.note(port, as: host)
        nameBytes += peers[address]?.nameBytes ?? 0
        return nil
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

internal import Link
internal import Wire

/// The rates of datagrams to hosts that have not answered, which all UDP associations of an exit share.
///
/// A host's bucket is found by a hash of its address, so that a flood of other hosts never fills it again. Hosts of one
/// bucket share its rate.
struct HostRates {
    /// The rate to a host, so that one that does not want the datagrams is not flooded.
    static let host = TokenBucket.Rate(perSecond: 256 << 10, burst: 512 << 10)
    /// The part of a node, or of a network of addresses, while less than half of a host's burst is left.
    static let part = TokenBucket.Rate(perSecond: 16 << 10, burst: 32 << 10)
    /// The rate of new hosts of a session.
    ///
    /// A DHT contacts some dozens per second, a scanner as many as it can.
    static let ofSession = (perSecond: 100, burst: 512)
    /// The rate of new hosts of all sessions.
    static let ofAll = (perSecond: 2_000, burst: 8_192)
    /// How long a host that has answered an association counts as one that answers others too.
    private static let answerLife = TimeSpan.seconds(60)
    /// The longest first datagram of an association to such a host that its rate does not count.
    private static let longestFirst = 1_500
    private static let hostPlaces = 1 << 16
    private static let sessionPlaces = 1 << 13

    private var hosts: PagedArray<TokenBucket>
    private var parts: PagedArray<TokenBucket>
    /// When something was last sent to a host that had answered; 0: never.
    private var answered: PagedArray<Instant>
    private var sessions: PagedArray<TokenBucket>
    private var all: SharedRate<LinkSource.Group, ObjectIdentifier>

    /// Full buckets.
    init(now: Instant) {
        hosts = PagedArray(repeating: TokenBucket(Self.host, now: now), count: Self.hostPlaces)
        parts = PagedArray(repeating: TokenBucket(Self.part, now: now), count: Self.hostPlaces)
        answered = PagedArray(repeating: Instant(nanoseconds: 0), count: Self.hostPlaces)
        let ofSession = TokenBucket(perSecond: Self.ofSession.perSecond, burst: Self.ofSession.burst, now: now)
        sessions = PagedArray(repeating: ofSession, count: Self.sessionPlaces)
        all = SharedRate(perSecond: Self.ofAll.perSecond, burst: Self.ofAll.burst, now: now)
    }

    /// Whether a session may send to a host to which its association has not sent yet.
    mutating func takeHost(for share: StreamShare, now: Instant) -> Bool {
        // The narrow bucket comes first: what it refuses costs the others nothing.
        sessions[Self.place(of: share, Self.sessionPlaces)].take(now: now)
            && all.take(share.session, in: share.group, now)
    }

    /// Whether `count` bytes may be sent to a host that has not answered.
    ///
    /// The addresses of one IPv6 /56 are one host.
    mutating func take(_ count: Int, to address: IPAddress, for group: LinkSource.Group, now: Instant) -> Bool {
        let host = Self.place(of: AddressShare(address), Self.hostPlaces)
        if hosts[host].isBelowHalf(now) {
            let part = Self.place(of: Pair(address: AddressShare(address), group: group), Self.hostPlaces)
            guard parts[part].take(count, now: now) else { return false }
        }
        return hosts[host].take(count, now: now)
    }

    /// Notes that an association sends to a host that has answered it.
    mutating func noteAnswered(_ address: IPAddress, now: Instant) {
        answered[Self.place(of: AddressShare(address), Self.hostPlaces)] = now
    }

    /// Whether an association may send its first `count` bytes to a host that answers others, whatever its rate says.
    ///
    /// Otherwise a small flood of one of the host's ports would keep it from all new associations.
    func admitsFirst(_ count: Int, to address: IPAddress, now: Instant) -> Bool {
        let last = answered[Self.place(of: AddressShare(address), Self.hostPlaces)]
        return count <= Self.longestFirst && last.nanoseconds > 0 && now - last < Self.answerLife
    }

    private struct Pair: Hashable {
        let address: AddressShare
        let group: LinkSource.Group
    }

    private static func place(of value: some Hashable, _ places: Int) -> Int {
        var hasher = Hasher()
        hasher.combine(value)
        return Int(UInt(bitPattern: hasher.finalize()) % UInt(places))
    }
}

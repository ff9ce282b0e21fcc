public import Wire

/// A token bucket for each source, in bounded memory.
///
/// Callers pass only sources that have proved their address, or that are on a bounded list: forged addresses must make
/// no entries. When the four places of a set are taken, the entry that was not used for longest is replaced. A hash
/// with a key of the process chooses the set.
public struct SourceRates: Sendable {
    private struct Entry {
        var key: UInt64
        var emptyAt: UInt64
        var lastUsed: Instant
    }

    private static let ways = 4
    private let setCount: Int
    private let rate: TokenBucket.Rate
    private var entries: PagedArray<Entry?>

    /// Buckets of `burst` tokens that gain `rate` tokens a second, for at most `capacity` sources (rounded up to a
    /// power of two).
    public init(rate: Int, burst: Int, capacity: Int) {
        var sets = 1
        while sets * Self.ways < capacity { sets *= 2 }
        setCount = sets
        self.rate = TokenBucket.Rate(perSecond: rate, burst: burst)
        entries = PagedArray(repeating: nil, count: sets * Self.ways)
    }

    /// Takes a token from the bucket of `source`; false when it is empty.
    public mutating func take(_ source: some Hashable, now: Instant) -> Bool {
        var hasher = Hasher()
        hasher.combine(source)
        let key = UInt64(bitPattern: Int64(hasher.finalize()))
        let first = Int(truncatingIfNeeded: key & UInt64(setCount - 1)) * Self.ways
        var victim = first
        for index in first..<first + Self.ways {
            guard let entry = entries[index] else {
                victim = index
                break
            }
            if entry.key == key {
                entries[index]!.lastUsed = now
                return rate.take(from: &entries[index]!.emptyAt, now: now)
            }
            if let other = entries[victim], entry.lastUsed < other.lastUsed { victim = index }
        }
        // A bucket whose `emptyAt` is 0 is full, or as full as the time since the clock's zero allows.
        var entry = Entry(key: key, emptyAt: 0, lastUsed: now)
        let isAllowed = rate.take(from: &entry.emptyAt, now: now)
        entries[victim] = entry
        return isAllowed
    }

    /// How many sources are remembered.
    var count: Int { (0..<entries.count).count { entries[$0] != nil } }
}

/// The rates of cookies: to one address, to one prefix (/16 of IPv4, /32 of IPv6), and in all.
///
/// These addresses may be forged, so none has an entry of its own. Memory is at most 1.2 MiB and a count for each of
/// 16,384 prefixes, and is allocated when it is needed. Addresses share buckets by a hash with a key of the process,
/// and so do prefixes of IPv6.
struct CookieRates: Sendable {
    private static let v4Prefixes = 1 << 16
    private static let v6Prefixes = 1 << 14
    private static let addresses = 1 << 16
    private let perAddress: TokenBucket.Rate
    private let perPrefix: TokenBucket.Rate
    /// Counted by prefix: while it holds less than half of its tokens, each prefix gets at most an equal part.
    private var all: SharedRate<Int, Never>
    private var emptyAt = PagedArray(repeating: UInt64(0), count: v4Prefixes + v6Prefixes + addresses)

    /// Buckets that gain this many tokens a second, each with a burst of one second's tokens.
    init(perAddress: Int, perPrefix: Int, inAll: Int, now: Instant) {
        self.perAddress = TokenBucket.Rate(perSecond: perAddress, burst: perAddress)
        self.perPrefix = TokenBucket.Rate(perSecond: perPrefix, burst: perPrefix)
        all = SharedRate(perSecond: inAll, burst: inAll, now: now)
    }

    /// Takes a token from each bucket of `address`; false if one of them is empty.
    ///
    /// The narrow buckets come first: a refused request of one address costs its prefix nothing, and one of a prefix
    /// costs the total nothing.
    mutating func take(_ address: IPAddress, now: Instant) -> Bool {
        let prefix = Self.prefix(of: address)
        return perAddress.take(from: &emptyAt[Self.place(of: address)], now: now)
            && perPrefix.take(from: &emptyAt[prefix], now: now) && all.take(prefix, now)
    }

    private static func place(of address: IPAddress) -> Int {
        v4Prefixes + v6Prefixes + hash(AddressShare(address)) % addresses
    }

    private static func prefix(of address: IPAddress) -> Int {
        if let v4 = address.v4 { return Int(v4 >> 16) }
        return v4Prefixes + hash(address.high >> 32) % v6Prefixes
    }

    private static func hash(_ value: some Hashable) -> Int {
        var hasher = Hasher()
        hasher.combine(value)
        return Int(UInt(bitPattern: hasher.finalize()) >> 1)
    }
}

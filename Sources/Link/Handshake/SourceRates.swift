public import Wire

/// A bucket for each source, in bounded memory.
///
/// Only sources that have proved their address may come here, so that entries cannot be made by forging addresses. When all
/// places of a set are taken, the entry that has been quiet longest goes; a hash whose key differs in every process
/// chooses the set.
public struct SourceRates: Sendable {
    private struct Entry {
        var key: UInt64
        var emptyAt: UInt64
        var lastUsed: Instant
    }

    private static let ways = 4
    private let setCount: Int
    private let rate: TokenBucket.Rate
    private var entries: [Entry?]

    /// Buckets of `burst` tokens that gain `rate` tokens a second, for at most `capacity` sources (rounded up to a power of two).
    public init(rate: Int, burst: Int, capacity: Int) {
        var sets = 1
        while sets * Self.ways < capacity { sets *= 2 }
        setCount = sets
        self.rate = TokenBucket.Rate(rate: rate, burst: burst)
        entries = Array(repeating: nil, count: sets * Self.ways)
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
        // A bucket that was empty at the clock's zero is full, or as full as the clock allows for.
        var entry = Entry(key: key, emptyAt: 0, lastUsed: now)
        let isAllowed = rate.take(from: &entry.emptyAt, now: now)
        entries[victim] = entry
        return isAllowed
    }

    /// How many sources are remembered.
    var count: Int { entries.count { $0 != nil } }
}

/// A rate for each prefix of addresses: /16 of IPv4, /32 of IPv6.
///
/// Memory of one size, 640 KiB: sources that may be forged make no entries, and what one prefix uses up no other lacks. IPv6
/// prefixes share 16,384 buckets by a hash whose key differs in every process.
struct PrefixRates: Sendable {
    private static let v4Buckets = 1 << 16
    private static let v6Buckets = 1 << 14
    private let rate: TokenBucket.Rate
    private var emptyAt: [UInt64]

    /// Buckets of `rate` tokens a second, and as many at once.
    init(rate: Int) {
        self.rate = TokenBucket.Rate(rate: rate, burst: rate)
        emptyAt = Array(repeating: 0, count: Self.v4Buckets + Self.v6Buckets)
    }

    /// Takes a token from the bucket of the prefix of `address`; false when it is empty.
    mutating func take(_ address: IPAddress, now: Instant) -> Bool {
        rate.take(from: &emptyAt[Self.bucket(of: address)], now: now)
    }

    private static func bucket(of address: IPAddress) -> Int {
        if let v4 = address.v4 { return Int(v4 >> 16) }
        var hasher = Hasher()
        hasher.combine(address.high >> 32)
        return v4Buckets + Int(truncatingIfNeeded: UInt(bitPattern: hasher.finalize()) % UInt(v6Buckets))
    }
}

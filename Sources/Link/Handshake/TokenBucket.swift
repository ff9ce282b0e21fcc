public import Wire

/// A rate with a burst: tokens come at a steady pace up to a cap, and each event takes one.
public struct TokenBucket: Sendable {
    private let nanosecondsPerToken: UInt64
    private let capacity: UInt64
    /// When the bucket, left alone, would have been empty: the age of that moment is what it holds.
    private var emptyAt: UInt64

    /// A full bucket of `burst` tokens that gains `rate` tokens a second; both are at least 1.
    public init(rate: Int, burst: Int, now: Instant) {
        nanosecondsPerToken = 1_000_000_000 / UInt64(max(rate, 1))
        capacity = nanosecondsPerToken * UInt64(max(burst, 1))
        emptyAt = now.nanoseconds &- capacity
        // A clock that has not yet run for as long as the burst takes: start as full as it allows for.
        if now.nanoseconds < capacity { emptyAt = 0 }
    }

    /// Takes a token; false when there is none.
    public mutating func take(now: Instant) -> Bool {
        let time = now.nanoseconds
        if time > emptyAt, time - emptyAt > capacity { emptyAt = time - capacity }
        guard time >= emptyAt, time - emptyAt >= nanosecondsPerToken else { return false }
        emptyAt += nanosecondsPerToken
        return true
    }

    /// Whether the bucket is full again, so that forgetting it changes nothing.
    func isFull(now: Instant) -> Bool { now.nanoseconds > emptyAt && now.nanoseconds - emptyAt >= capacity }
}

/// A bucket for each source address, in bounded memory.
///
/// Sources that share an IPv6 /64 share a bucket. Only sources that have proved their address by a cookie come here, so
/// entries cannot be made by forging addresses; when all places of a set are taken, the entry that has been quiet longest goes.
struct SourceLimiter {
    private struct Entry {
        var key: UInt64
        var bucket: TokenBucket
        var lastUsed: Instant
    }

    private static let ways = 4
    private let setCount: Int
    private let rate: Int
    private let burst: Int
    private var entries: [Entry?]

    /// A limiter that remembers at most `capacity` sources (rounded up to a power of two).
    init(rate: Int, burst: Int, capacity: Int) {
        var sets = 1
        while sets * Self.ways < capacity { sets *= 2 }
        setCount = sets
        self.rate = rate
        self.burst = burst
        entries = Array(repeating: nil, count: sets * Self.ways)
    }

    /// Takes a token from the bucket of `address`; false when it is empty.
    mutating func take(_ address: IPAddress, now: Instant) -> Bool {
        let key = Self.key(address)
        let first = Int(truncatingIfNeeded: key & UInt64(setCount - 1)) * Self.ways
        var victim = first
        for index in first..<first + Self.ways {
            guard let entry = entries[index] else {
                victim = index
                break
            }
            if entry.key == key {
                entries[index]!.lastUsed = now
                return entries[index]!.bucket.take(now: now)
            }
            if let other = entries[victim], entry.lastUsed < other.lastUsed { victim = index }
        }
        var entry = Entry(key: key, bucket: TokenBucket(rate: rate, burst: burst, now: now), lastUsed: now)
        let isAllowed = entry.bucket.take(now: now)
        entries[victim] = entry
        return isAllowed
    }

    /// A number that stands for the address, by a hash whose key differs in every process.
    private static func key(_ address: IPAddress) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(address.high)
        if address.v4 != nil { hasher.combine(address.low) }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }
}

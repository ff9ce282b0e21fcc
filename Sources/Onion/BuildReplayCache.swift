internal import OnionCrypto
public import Wire

/// Which records a hop has opened, for as long as their time is valid (protocol.md, section 6.3).
///
/// It holds keyed digests of eight bytes in two generations; each lives for at least as long as any record's time is valid.
/// When a generation is full, no build is accepted until the next one: refusing is safe, forgetting is not.
public struct BuildReplayCache: ~Copyable {
    /// How long a generation lasts: a record's time is valid for five units.
    public static let generation = TimeSpan.seconds(
        Int64((2 * BuildMessage.timeTolerance + 1) * BuildMessage.timeUnit))

    /// What `enter` found.
    public enum Entry: Equatable, Sendable {
        /// The record is new and has been entered.
        case new
        /// The record was there already.
        case replayed
        /// There is no room.
        case full
    }

    private let key = Secret.random()
    private let limit: Int
    private var recent: Set<UInt64> = []
    private var older: Set<UInt64> = []
    private var started: Instant

    /// An empty cache; each of its two generations holds at most `limit` records.
    public init(limit: Int = 1 << 19, now: Instant) {
        self.limit = limit
        started = now
    }

    /// How many records it holds.
    public var count: Int { recent.count + older.count }

    /// Looks a record up and enters it if it is new.
    public mutating func enter(_ record: RawSpan, now: Instant) -> Entry {
        let age = now - started
        if age >= Self.generation {
            older = age >= Self.generation * 2 ? [] : recent
            recent = []
            started = now
        }
        let tag = Blake2b.mac16(key: key.bytes, record)
        let digest = unsafe tag.rawSpan.unsafeLoadUnaligned(as: UInt64.self)
        if recent.contains(digest) || older.contains(digest) { return .replayed }
        guard recent.count < limit else { return .full }
        recent.insert(digest)
        return .new
    }
}

internal import OnionCrypto
public import Wire

/// Which records a hop has opened, for as long as their time is valid (protocol.md, section 6.3).
///
/// It holds keyed digests of eight bytes in two generations; each lives for at least as long as any record's time is valid.
/// When a generation is full, no build is accepted until the next one: refusing is safe, forgetting is not. So that nobody fills it
/// for all, the records of one link take a quarter of a generation at the most.
public struct BuildReplayCache: ~Copyable {
    /// How long a generation lasts: a record's time is valid for five units.
    public static let generation = TimeSpan.seconds(
        Int64((2 * BuildMessage.timeTolerance + 1) * BuildMessage.timeUnit))
    /// Records in a generation: more than come in its 50 minutes at 1,000 a second.
    ///
    /// Memory grows with the records that did come.
    public static let defaultLimit = 1 << 22

    /// What `enter` found.
    public enum Entry: Equatable, Sendable {
        /// The record is new and has been entered.
        case new
        /// The record was there already.
        case replayed
        /// There is no room, for this link or at all.
        case full
    }

    /// Digests by their lowest bits: a set grows by copying itself, which must not take long.
    private struct Generation {
        static let parts = 256
        var sets = [Set<UInt64>](repeating: [], count: parts)
        var count = 0
        var countByLink: [UInt32: Int] = [:]

        func contains(_ digest: UInt64) -> Bool { sets[Int(digest % UInt64(Self.parts))].contains(digest) }

        mutating func insert(_ digest: UInt64, from link: UInt32) {
            sets[Int(digest % UInt64(Self.parts))].insert(digest)
            count += 1
            countByLink[link, default: 0] += 1
        }
    }

    private let key = Secret.random()
    private let limit: Int
    private let linkLimit: Int
    private var recent = Generation()
    private var older = Generation()
    private var started: Instant

    /// An empty cache; each of its two generations holds at most `limit` records.
    public init(limit: Int = BuildReplayCache.defaultLimit, now: Instant) {
        self.limit = limit
        linkLimit = max(1, limit / 4)
        started = now
    }

    /// How many records it holds.
    public var count: Int { recent.count + older.count }

    /// Looks a record that came over `link` up, and enters it if it is new.
    public mutating func enter(_ record: RawSpan, from link: UInt32, now: Instant) -> Entry {
        let age = now - started
        if age >= Self.generation {
            older = age >= Self.generation * 2 ? Generation() : recent
            recent = Generation()
            started = now
        }
        let tag = Blake2b.mac16(key: key.bytes, record)
        let digest = unsafe tag.rawSpan.unsafeLoadUnaligned(as: UInt64.self)
        if recent.contains(digest) || older.contains(digest) { return .replayed }
        guard recent.count < limit, recent.countByLink[link] ?? 0 < linkLimit else { return .full }
        recent.insert(digest, from: link)
        return .new
    }
}

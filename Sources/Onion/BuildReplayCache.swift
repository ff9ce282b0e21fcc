internal import OnionCrypto
public import Wire

/// The records that a hop has opened, kept while their time is valid (protocol.md, section 6.3); and in the same way
/// the onion requests that a target has opened (section 13.4).
///
/// It holds keyed digests of eight bytes in two generations; each lives at least as long as any record's time is valid.
///
/// Validity goes by the wall clock, and generations by the monotonic one. If the wall clock is set back, times of
/// records that were forgotten would be valid again. So records are refused whose time is that of a forgotten one.
/// While the clock is right, no valid time is that old. Times are remembered one by one: a record that came while the
/// clock was ahead costs no other time.
///
/// When a generation is full, builds are refused until the next one: refusing is safe, forgetting is not. To keep one
/// source from filling it, a source may have as many records as places are free, and always a thousandth of the
/// generation.
public struct BuildReplayCache: ~Copyable {
    /// The duration of a generation of builds: a record's time is valid for five units.
    public static let generation = TimeSpan.seconds(
        Int64((2 * BuildMessage.timeTolerance + 1) * BuildMessage.timeUnit))
    /// The most records in a generation: more than arrive in its 50 minutes at 1,000 a second.
    ///
    /// Memory grows with the records that have arrived.
    public static let defaultLimit = 1 << 22

    /// The result of `enter`.
    public enum Entry: Equatable, Sendable {
        /// The record is new and has been entered.
        case new
        /// The record was there already.
        case replayed
        /// There is no place left, for this source or at all.
        case full
        /// The record's time is that of forgotten ones, of which it may be one.
        case forgotten
    }

    /// Digests in several sets by their lowest bits: a set grows by copying, which must not take long.
    private struct Generation {
        static let parts = 256
        var sets = [Set<UInt64>](repeating: [], count: parts)
        var count = 0
        var countBySource: [UInt64: Int] = [:]
        /// The times of its records: a few, unless the wall clock was set.
        var times: Set<UInt64> = []

        func contains(_ digest: UInt64) -> Bool { sets[Int(digest % UInt64(Self.parts))].contains(digest) }

        mutating func insert(_ digest: UInt64, time: UInt64, of source: UInt64) {
            sets[Int(digest % UInt64(Self.parts))].insert(digest)
            times.insert(time)
            count += 1
            countBySource[source, default: 0] += 1
        }
    }

    /// The times of forgotten records.
    private struct ForgottenTimes {
        /// The most times that are remembered one by one: 28 days of builds, 68 hours of requests.
        static let limit = 4_096
        var times: Set<UInt64> = []
        /// This time counts as forgotten, and so do all before it.
        var floor: UInt64?

        func contains(_ time: UInt64) -> Bool { floor.map { time <= $0 } ?? false || times.contains(time) }

        mutating func add(_ more: Set<UInt64>) {
            times.formUnion(more)
            guard times.count > Self.limit else { return }
            // The earliest ones go.
            let ascending = times.sorted()
            let last = ascending[times.count - Self.limit - 1]
            floor = max(floor ?? last, last)
            times = Set(ascending.suffix(Self.limit))
        }
    }

    private let key = Secret.random()
    private let limit: Int
    private let mostOfSource: Int
    private var recent = Generation()
    private var older = Generation()
    private let generation: TimeSpan
    private var started: Instant
    private var forgotten = ForgottenTimes()

    /// An empty cache; each of its two generations lasts for `generation` and holds at most `limit` records.
    public init(
        limit: Int = BuildReplayCache.defaultLimit, generation: TimeSpan = BuildReplayCache.generation, now: Instant
    ) {
        self.limit = limit
        self.generation = generation
        mostOfSource = max(1, limit / 1_024)
        started = now
    }

    /// How many records it holds.
    public var count: Int { recent.count + older.count }

    /// Whether a record was entered; a replay then costs no more work than this.
    public mutating func contains(_ record: RawSpan, now: Instant) -> Bool {
        advance(to: now)
        let digest = digest(of: record)
        return recent.contains(digest) || older.contains(digest)
    }

    private mutating func advance(to now: Instant) {
        let age = now - started
        guard age >= generation else { return }
        let isLong = age >= generation * 2
        forgotten.add(older.times)
        if isLong { forgotten.add(recent.times) }
        older = isLong ? Generation() : recent
        recent = Generation()
        started = now
    }

    private func digest(of record: RawSpan) -> UInt64 {
        let tag = Blake2b.mac16(key: key.bytes, record)
        return unsafe tag.rawSpan.unsafeLoadUnaligned(as: UInt64.self)
    }

    /// Looks up a record that `source` sent, and enters it if it is new.
    ///
    /// `time` is the record's time, which is valid now, in units of the caller's. The caller numbers the sources; a
    /// source that links again keeps its number.
    public mutating func enter(_ record: RawSpan, time: UInt64, of source: UInt64, now: Instant) -> Entry {
        advance(to: now)
        let digest = digest(of: record)
        if recent.contains(digest) || older.contains(digest) { return .replayed }
        if forgotten.contains(time) { return .forgotten }
        let room = limit - recent.count
        guard room > 0, recent.countBySource[source] ?? 0 < max(mostOfSource, room) else { return .full }
        recent.insert(digest, time: time, of: source)
        return .new
    }
}

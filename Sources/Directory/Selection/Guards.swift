public import Wire

/// The nodes that a client enters the network by: few, chosen once, kept for weeks.
///
/// Whoever changes first hops often meets a hostile one soon. So a client draws a small sample, uses the first two of it
/// that work (the primaries), falls back to the others only while those are unreachable, and adds to the sample only when
/// all of it is. Each guard is kept for 48 to 60 days, drawn at random. The sample never exceeds 20.
public struct Guards: Sendable {
    /// How many guards are in use while all work.
    public static let primaryCount = 2
    /// The largest sample.
    public static let maximumSample = 20
    /// How long a guard is kept, in seconds.
    public static let lifetime: ClosedRange<UInt64> = 48 * 86_400...60 * 86_400
    /// How long an unreachable guard rests at first and at most, in seconds; it doubles.
    public static let rest: ClosedRange<UInt64> = 10...1_800

    /// One node of the sample.
    public struct Guard: Hashable, Sendable {
        /// Which node.
        public let node: NodeID
        /// When it was drawn.
        public internal(set) var sampled: UnixTime
        /// When it is given up.
        public internal(set) var expires: UnixTime
        /// When a path was first built through it.
        public internal(set) var confirmed: UnixTime?
        /// How its builds went.
        public internal(set) var bias = PathBias()
        /// Failures since it last worked; not kept across restarts.
        public internal(set) var failures = 0
        /// Until when it rests; not kept across restarts.
        public internal(set) var restsUntil = UnixTime(seconds: 0)

        /// Whether it is to be left alone at `now`.
        ///
        /// A rest that ends later than any rest can is of a clock that was wrong.
        func isResting(at now: UnixTime) -> Bool {
            now < restsUntil && restsUntil.seconds - now.seconds <= Guards.rest.upperBound
        }
    }

    /// The sample in order of preference: confirmed ones by when they were, then the others as they were drawn.
    public private(set) var sample: [Guard] = []
    /// Goes up with every change that should be kept on disk.
    public private(set) var generation: UInt64 = 0
    private var allFailed = false
    /// The nodes that stand behind the guards in paths of three hops and more; expires with the guards.
    public var inner = InnerSet()

    /// An empty sample, which fills when paths are chosen.
    public init() {}

    /// The guards that are in use, as far as they have been drawn.
    public var primaries: ArraySlice<Guard> { sample.prefix(Self.primaryCount) }

    // MARK: Events

    /// A path was built through `node`, or its link came up and works.
    public mutating func succeeded(_ node: NodeID, at now: UnixTime) {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return }
        sample[index].failures = 0
        sample[index].restsUntil = UnixTime(seconds: 0)
        if allFailed {
            // Everything was unreachable and something works again: it was the network, so all may be tried again.
            allFailed = false
            for other in sample.indices { sample[other].restsUntil = UnixTime(seconds: 0) }
        }
        if sample[index].confirmed == nil {
            var found = sample.remove(at: index)
            found.confirmed = now
            let place = sample.firstIndex { $0.confirmed == nil } ?? sample.count
            sample.insert(found, at: place)
            generation &+= 1
        }
    }

    /// `node` could not be reached, or refused for itself: it rests, longer each time.
    public mutating func failed(_ node: NodeID, at now: UnixTime) {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return }
        let rest = min(Self.rest.lowerBound << UInt64(min(sample[index].failures, 16)), Self.rest.upperBound)
        sample[index].failures += 1
        sample[index].restsUntil = UnixTime(seconds: now.seconds &+ rest)
        if sample.allSatisfy({ $0.isResting(at: now) }) { allFailed = true }
    }

    /// The link to `node`, which worked, has died: it rests as one that cannot be reached, if another one does not.
    ///
    /// Where all would rest it may be this machine's network that is gone, and the same guards are to be tried again.
    public mutating func lost(_ node: NodeID, at now: UnixTime) {
        guard sample.contains(where: { $0.node != node && !$0.isResting(at: now) }) else { return }
        failed(node, at: now)
    }

    /// A build through `node` that had come past it ended; returns a level of suspicion when it is reached anew.
    ///
    /// To be called when the hop behind the guard answered or did not, and not when the guard itself was unreachable.
    public mutating func builtPath(through node: NodeID, succeeded: Bool) -> PathBias.Level? {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return nil }
        generation &+= 1
        return sample[index].bias.add(succeeded: succeeded)
    }

    /// Drops the guards, and the nodes of the inner set, whose time is over.
    ///
    /// One that would be kept longer than any can be was drawn under a wrong clock and gets a time from now on.
    public mutating func expire(at now: UnixTime, using generator: inout some RandomNumberGenerator) {
        let before = sample.count
        sample.removeAll { $0.expires <= now }
        if sample.count != before { generation &+= 1 }
        inner.expire(at: now, using: &generator)
        for index in sample.indices where sample[index].expires.seconds - now.seconds > Self.lifetime.upperBound {
            sample[index].sampled = now
            sample[index].expires = Self.end(from: now, using: &generator)
            generation &+= 1
        }
    }

    private static func end(from now: UnixTime, using generator: inout some RandomNumberGenerator) -> UnixTime {
        UnixTime(seconds: now.seconds &+ UInt64.random(in: lifetime, using: &generator))
    }

    // MARK: For path selection

    /// Adds `node` to the sample; one of those that `isListed` denies makes room if the sample is full.
    ///
    /// Returns whether it was added.
    mutating func add(
        _ node: NodeID, at now: UnixTime, isListed: (NodeID) -> Bool, using generator: inout some RandomNumberGenerator
    ) -> Bool {
        guard !sample.contains(where: { $0.node == node }) else { return false }
        if sample.count >= Self.maximumSample {
            guard let gone = sample.lastIndex(where: { !isListed($0.node) }) else { return false }
            sample.remove(at: gone)
        }
        sample.append(Guard(node: node, sampled: now, expires: Self.end(from: now, using: &generator)))
        generation &+= 1
        return true
    }

    /// Those of the sample that `isUsable` allows in the order to try them, and whether each rests at `now`.
    ///
    /// The primaries that do not rest come first, in random order; then the other ones that do not; then those that rest.
    func order(
        at now: UnixTime, isUsable: (NodeID) -> Bool, using generator: inout some RandomNumberGenerator
    ) -> [(node: NodeID, rests: Bool)] {
        let usable = sample.filter { isUsable($0.node) }
        let ready =
            usable.prefix(Self.primaryCount).filter { !$0.isResting(at: now) }.shuffled(using: &generator)
            + usable.dropFirst(Self.primaryCount).filter { !$0.isResting(at: now) }
        let resting = usable.filter { $0.isResting(at: now) }.sorted { $0.restsUntil < $1.restsUntil }
        return ready.map { ($0.node, false) } + resting.map { ($0.node, true) }
    }

    // MARK: Rows

    /// What to keep across restarts: one row per guard.
    public var rows: [NodeRow] {
        sample.enumerated().map { position, entry in
            var writer = ByteWriter(capacity: 42)
            writer.u8(1)
            writer.u8(UInt8(position))
            writer.u64(entry.sampled.seconds)
            writer.u64(entry.expires.seconds)
            writer.u64(entry.confirmed?.seconds ?? 0)
            writer.u64(entry.bias.attempts.bitPattern)
            writer.u64(entry.bias.successes.bitPattern)
            return NodeRow(node: entry.node, bytes: writer.bytes)
        }
    }

    /// Goes on from kept rows, and the inner set's; rows that cannot be read are left out.
    public init(rows: [NodeRow], inner: [NodeRow] = []) {
        self.inner = InnerSet(rows: inner)
        var read: [(position: UInt8, entry: Guard)] = []
        for row in rows {
            var reader = ByteReader(row.bytes.rawSpan)
            guard let version = try? reader.u8(), version == 1, let position = try? reader.u8(),
                let sampled = try? reader.u64(), let expires = try? reader.u64(), let confirmed = try? reader.u64(),
                let attempts = try? reader.u64(), let successes = try? reader.u64(), reader.remaining == 0,
                let bias = PathBias(attempts: Double(bitPattern: attempts), successes: Double(bitPattern: successes)),
                !read.contains(where: { $0.entry.node == row.node })
            else { continue }
            var entry = Guard(node: row.node, sampled: UnixTime(seconds: sampled), expires: UnixTime(seconds: expires))
            entry.confirmed = confirmed == 0 ? nil : UnixTime(seconds: confirmed)
            entry.bias = bias
            read.append((position, entry))
        }
        sample = read.sorted { $0.position < $1.position }.prefix(Self.maximumSample).map(\.entry)
    }
}

/// How many of the builds through one guard succeeded: a guard that lets through only what it likes shows here.
///
/// Counts and thresholds are those of Tor (path-spec, "Path bias"): nothing is said before 150 builds, and at 300 both
/// counts are halved.
public struct PathBias: Hashable, Sendable {
    /// How suspicious the counts are.
    public enum Level: UInt8, Comparable, Sendable {
        /// Fewer than 70 percent succeeded.
        case notice = 1
        /// Fewer than 50 percent.
        case warning = 2
        /// Fewer than 30 percent.
        case extreme = 3

        /// Whether `a` is less suspicious than `b`.
        public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    /// Builds that came past the guard.
    public private(set) var attempts = 0.0
    /// Those of them that succeeded.
    public private(set) var successes = 0.0
    private var reported: Level?

    /// No builds yet.
    public init() {}

    init?(attempts: Double, successes: Double) {
        guard attempts.isFinite, successes.isFinite, 0...attempts ~= successes, attempts <= Self.scaleAt else {
            return nil
        }
        self.attempts = attempts
        self.successes = successes
        reported = level
    }

    private static let leastBuilds = 150.0
    private static let scaleAt = 300.0

    /// How suspicious the counts are now; `nil` when they are not, or when there are too few.
    public var level: Level? {
        guard attempts >= Self.leastBuilds else { return nil }
        let share = successes / attempts
        return share < 0.3 ? .extreme : share < 0.5 ? .warning : share < 0.7 ? .notice : nil
    }

    /// Counts a build, and returns the level when it is worse than what was returned last.
    mutating func add(succeeded: Bool) -> Level? {
        attempts += 1
        if succeeded { successes += 1 }
        if attempts >= Self.scaleAt {
            attempts /= 2
            successes /= 2
        }
        let now = level
        defer { reported = now }
        guard let now else { return nil }
        if let reported, now <= reported { return nil }
        return now
    }
}

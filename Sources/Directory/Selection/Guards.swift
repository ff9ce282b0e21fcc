public import Wire

/// The nodes that a client enters the network by: few, chosen once, kept for weeks.
///
/// Whoever changes first hops often meets a hostile one soon. So a client draws a small sample, uses the first two of it
/// that work (the primaries), falls back to the others only while those are unreachable, and adds to the sample only when
/// all of it is. Each guard is kept for 48 to 60 days, drawn at random. The sample never exceeds 20.
///
/// A guard's days are counted down as they pass (``age(by:)``), and not compared with a date. So a wall clock that jumps drops no
/// guard, and keeps none.
///
/// A guard that ends most of its ready paths, while another's stand, is set aside: others are used as long as there are any. This
/// happens to two at most, so that nobody moves a client on from guard to guard.
///
/// A guard that is asked for too much says so, or resets the build. It is used less for a while then, and no other takes its
/// place before this has lasted.
public struct Guards: Sendable {
    /// How many guards are in use while all work.
    public static let primaryCount = 2
    /// The largest sample.
    public static let maximumSample = 20
    /// How long a guard is kept, in seconds.
    public static let lifetime: ClosedRange<UInt64> = 48 * 86_400...60 * 86_400
    /// How long an unreachable guard rests at first and at most, in seconds; it doubles.
    public static let rest: ClosedRange<UInt64> = 10...1_800
    /// How many guards of the sample may be set aside.
    public static let maximumSetAside = 2
    /// How long the other guards in use come before one that has refused a build for itself, in seconds.
    public static let pause: UInt64 = 10
    /// How many builds to one second hop must be refused by a guard for itself, over how many seconds and without one that was
    /// not, before it rests as one that cannot be reached.
    public static let lasting: (builds: Int, seconds: UInt64) = (8, 600)

    /// One node of the sample.
    public struct Guard: Hashable, Sendable {
        /// Which node.
        public let node: NodeID
        /// For how many more seconds it is kept.
        public internal(set) var left: UInt64
        /// When a path was first built through it.
        public internal(set) var confirmed: UnixTime?
        /// How its builds, and the paths that came of them, went.
        public internal(set) var bias = PathBias()
        /// Whether others are used instead, because it ended most of its ready paths.
        public internal(set) var isSetAside = false
        /// How its last ready paths ended; not kept across restarts.
        var record = GuardRecord()
        /// Failures since it last worked; not kept across restarts.
        public internal(set) var failures = 0
        /// Until when it rests; not kept across restarts.
        public internal(set) var restsUntil = UnixTime(seconds: 0)
        /// The second hops to which it has refused builds for itself, and none since that was not; not kept across restarts.
        var refusals: [Refusals] = []
        /// Until when the other guards in use come before it; not kept across restarts.
        var pausesUntil = UnixTime(seconds: 0)

        /// Builds to one second hop that a guard has refused for itself: how many, and since when.
        struct Refusals: Hashable, Sendable {
            let next: NodeID?
            var count = 0
            var since: UnixTime
        }

        /// Whether the other guards in use come before it.
        func isPausing(at now: UnixTime) -> Bool {
            now < pausesUntil && pausesUntil.seconds - now.seconds <= Guards.pause
        }

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
    /// Up to when the guards' time has been counted; it goes on by what ``age(by:)`` counts, and never back.
    public private(set) var counted = UnixTime(seconds: 0)
    /// How many seconds were counted since the last change of `generation` for that.
    private var uncounted: UInt64 = 0
    private var allFailed = false
    private var lastPath: UInt64 = 0
    /// The nodes that stand behind the guards in paths of three hops and more; expires with the guards.
    public var inner = InnerSet()

    /// An empty sample, which fills when paths are chosen.
    public init() {}

    /// The guards that are in use, as far as they have been drawn.
    public var primaries: [Guard] { Array(sample.lazy.filter { !$0.isSetAside }.prefix(Self.primaryCount)) }

    /// The nodes that are a guard in use, or were one and are set aside.
    var ownEntries: [NodeID] { primaries.map(\.node) + sample.lazy.filter(\.isSetAside).map(\.node) }

    /// Whether another guard in use than `node` does not rest.
    public func hasOther(than node: NodeID, at now: UnixTime) -> Bool {
        primaries.contains { $0.node != node && !$0.isResting(at: now) }
    }

    // MARK: Events

    /// A path was built through `node`, or its link came up and works.
    public mutating func succeeded(_ node: NodeID, at now: UnixTime) {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return }
        sample[index].failures = 0
        sample[index].restsUntil = UnixTime(seconds: 0)
        sample[index].pausesUntil = UnixTime(seconds: 0)
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
        if sample.allSatisfy({ $0.isSetAside || $0.isResting(at: now) }) { allFailed = true }
    }

    /// The link to `node`, which worked, has died: it rests as one that cannot be reached, if another one does not.
    ///
    /// Where all would rest it may be this machine's network that is gone, and the same guards are to be tried again.
    public mutating func lost(_ node: NodeID, at now: UnixTime) {
        guard sample.contains(where: { $0.node != node && !$0.isSetAside && !$0.isResting(at: now) }) else { return }
        failed(node, at: now)
    }

    /// `node` refused a build to `next` for itself, as one does that is asked for too much: it pauses.
    ///
    /// The client asks too much at times, and others ask the guard: no other guard takes its place for that. One that goes on to
    /// refuse what leads to one second hop rests as one that cannot be reached; so a guard cannot choose among the second hops.
    public mutating func refused(_ node: NodeID, next: NodeID?, at now: UnixTime) {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return }
        sample[index].pausesUntil = UnixTime(seconds: now.seconds &+ Self.pause)
        var entry =
            sample[index].refusals.first { $0.next == next } ?? Guard.Refusals(next: next, since: now)
        // A clock that was set back.
        entry.since = min(entry.since, now)
        entry.count = min(entry.count + 1, Self.lasting.builds)
        sample[index].refusals.removeAll { $0.next == next }
        sample[index].refusals = sample[index].refusals.suffix(InnerSet.maximum - 1) + [entry]
        if entry.count >= Self.lasting.builds, now.seconds - entry.since.seconds >= Self.lasting.seconds {
            failed(node, at: now)
        }
    }

    /// `node` has taken a build to `next`, whatever became of it behind.
    public mutating func accepted(_ node: NodeID, next: NodeID?) {
        guard let index = sample.firstIndex(where: { $0.node == node }), !sample[index].refusals.isEmpty else { return }
        sample[index].refusals.removeAll { $0.next == next }
    }

    /// A build through `node` that had come past it ended; returns a level of suspicion when it is reached anew.
    ///
    /// To be called when the hop behind the guard answered or did not, and not when the guard itself was unreachable or refused
    /// the build for itself.
    public mutating func builtPath(through node: NodeID, succeeded: Bool) -> PathBias.Level? {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return nil }
        generation &+= 1
        return sample[index].bias.add(succeeded: succeeded)
    }

    /// A path over `hops` is ready; its number is for ``pathEnded(_:through:_:)``.
    public mutating func pathReady(_ hops: [NodeID]) -> UInt64 {
        lastPath &+= 1
        if let index = sample.firstIndex(where: { $0.node == hops[0] }) { sample[index].record.ready(lastPath, hops) }
        return lastPath
    }

    /// The ready path `number` through `node` has ended, and not at the client's wish.
    ///
    /// Returns a level of suspicion when it is reached anew, and whether the guard was set aside for this. It is when most of its
    /// last paths ended so, and at the same time fewer than a third as many of those through the other guards: on a bad network
    /// all guards look alike.
    public mutating func pathEnded(
        _ number: UInt64, through node: NodeID, _ end: PathLoss
    ) -> (level: PathBias.Level?, isSetAside: Bool) {
        guard let index = sample.firstIndex(where: { $0.node == node }), sample[index].record.ended(number, end),
            end != .unknown
        else { return (nil, false) }
        generation &+= 1
        let level = sample[index].bias.lost(Double(end.rawValue) / 2)
        guard !sample[index].isSetAside, sample.count(where: \.isSetAside) < Self.maximumSetAside else {
            return (level, false)
        }
        let own = sample[index].record.count
        guard own.isMost else { return (level, false) }
        let others = sample.lazy.filter { $0.node != node && !$0.isSetAside }.map(\.record.count)
        guard own.standsOut(from: others.reduce(GuardRecord.Count(), +)) else { return (level, false) }
        sample[index].isSetAside = true
        return (level, true)
    }

    /// Counts `seconds` that have passed, and drops the guards, and the nodes of the inner set, whose time is over.
    ///
    /// What passed while the process ran is to be told by a clock that nobody sets.
    public mutating func age(by seconds: UInt64) {
        guard seconds > 0, !sample.isEmpty || !inner.members.isEmpty else { return }
        let before = sample.count
        for index in sample.indices { sample[index].left -= min(sample[index].left, seconds) }
        sample.removeAll { $0.left == 0 }
        let sum = counted.seconds.addingReportingOverflow(seconds)
        counted = UnixTime(seconds: sum.overflow ? .max : sum.partialValue)
        uncounted = min(uncounted, 3_600) + min(seconds, 3_600)
        let isKept = uncounted >= 3_600
        inner.age(by: seconds, isKept: isKept)
        if isKept { uncounted = 0 }
        if sample.count != before || isKept {
            generation &+= 1
        }
    }

    /// Counts the time for which the machine was off: up to `time`, which is to be the least that own clock and network say.
    public mutating func ageWhileOff(upTo time: UnixTime) {
        if time > counted { age(by: time.seconds - counted.seconds) }
    }

    // MARK: For path selection

    /// The guards in use, of those that `isUsable` allows, that do not rest at `now`.
    func working(at now: UnixTime, isUsable: (NodeID) -> Bool) -> [Guard] {
        sample.filter { isUsable($0.node) && !$0.isSetAside }.prefix(Self.primaryCount)
            .filter { !$0.isResting(at: now) }
    }

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
        // Where something is kept, its time is counted from where that has come to.
        if sample.isEmpty, inner.members.isEmpty { counted = now }
        sample.append(Guard(node: node, left: UInt64.random(in: Self.lifetime, using: &generator)))
        generation &+= 1
        return true
    }

    /// Those of the sample that `isUsable` allows in the order to try them, and whether each rests at `now`.
    ///
    /// The primaries that do not rest come first, in random order, those that pause behind the others; then the other ones that do
    /// not rest; then those that do; and last those that are set aside.
    func order(
        at now: UnixTime, isUsable: (NodeID) -> Bool, using generator: inout some RandomNumberGenerator
    ) -> [(node: NodeID, rests: Bool)] {
        let usable = sample.filter { isUsable($0.node) && !$0.isSetAside }
        let first = working(at: now, isUsable: isUsable).shuffled(using: &generator)
        let ready =
            first.filter { !$0.isPausing(at: now) } + first.filter { $0.isPausing(at: now) }
            + usable.dropFirst(Self.primaryCount).filter { !$0.isResting(at: now) }
        let resting =
            usable.filter { $0.isResting(at: now) }.sorted { $0.restsUntil < $1.restsUntil }
            + sample.filter { isUsable($0.node) && $0.isSetAside }
        return ready.map { ($0.node, false) } + resting.map { ($0.node, true) }
    }

    // MARK: Rows

    /// What to keep across restarts: one row per guard.
    public var rows: [NodeRow] {
        sample.enumerated().map { position, entry in
            var writer = ByteWriter(capacity: 43)
            writer.u8(3)
            writer.u8(UInt8(position))
            writer.u64(counted.seconds)
            writer.u64(entry.left)
            writer.u64(entry.confirmed?.seconds ?? 0)
            writer.u64(entry.bias.attempts.bitPattern)
            writer.u64(entry.bias.successes.bitPattern)
            writer.u8(entry.isSetAside ? 1 : 0)
            return NodeRow(node: entry.node, bytes: writer.bytes)
        }
    }

    /// What to keep of the inner set across restarts: one row per node.
    public var innerRows: [NodeRow] { inner.rows(counted: counted) }

    /// Goes on from kept rows, and the inner set's; rows that cannot be read are left out.
    ///
    /// Rows of version 1 have dates: when a guard was drawn, and when its time is over. Those of version 2 do not say whether it
    /// is set aside.
    public init(rows: [NodeRow], inner: [NodeRow] = []) {
        var read: [(position: UInt8, upTo: UInt64, ends: UInt64, entry: Guard)] = []
        for row in rows {
            var reader = ByteReader(row.bytes.rawSpan)
            guard let version = try? reader.u8(), 1...3 ~= version, let position = try? reader.u8(),
                let upTo = try? reader.u64(), let second = try? reader.u64(), let confirmed = try? reader.u64(),
                let attempts = try? reader.u64(), let successes = try? reader.u64(),
                let isSetAside = version < 3 ? 0 : try? reader.u8(), isSetAside <= 1, reader.remaining == 0,
                let bias = PathBias(attempts: Double(bitPattern: attempts), successes: Double(bitPattern: successes)),
                !read.contains(where: { $0.entry.node == row.node })
            else { continue }
            let left = min(version == 1 ? second - min(second, upTo) : second, Self.lifetime.upperBound)
            let ends = upTo.addingReportingOverflow(left)
            guard left > 0, !ends.overflow else { continue }
            var entry = Guard(node: row.node, left: left)
            entry.confirmed = confirmed == 0 ? nil : UnixTime(seconds: confirmed)
            entry.bias = bias
            entry.isSetAside = isSetAside == 1
            read.append((position, upTo, ends.partialValue, entry))
        }
        let upTo = read.map(\.upTo).max() ?? InnerSet.counted(inner)
        counted = UnixTime(seconds: upTo)
        self.inner = InnerSet(rows: inner, counted: counted)
        sample = read.sorted { $0.position < $1.position }.prefix(Self.maximumSample).compactMap { row in
            guard row.ends > upTo else { return nil }
            var entry = row.entry
            entry.left = row.ends - upTo
            return entry
        }
    }
}

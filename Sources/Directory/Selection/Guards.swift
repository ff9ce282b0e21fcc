public import Wire

/// A client's first hops: few nodes, drawn once, kept for weeks.
///
/// A client that changes its first hops often soon meets a hostile one. So a client draws a small sample. It uses the
/// first two nodes of it that work (the primary guards), and others only while those are unreachable. It adds to the
/// sample only if the whole sample is unreachable. Each guard is kept for a random time of 48 to 60 days. The sample
/// never exceeds 20.
///
/// A guard's time is counted down as it passes (``age(by:)``), not compared with a date. So a jump of the wall clock
/// neither drops a guard nor extends its time.
///
/// A guard that ends most of its ready paths, while paths over the others last, is set aside: others are used as long
/// as there are any. At most two guards are set aside, so that nobody can drive a client from guard to guard.
///
/// An overloaded guard refuses or resets builds. It is then used less for a while, and no new guard replaces it before
/// the refusals have lasted.
public struct Guards: Sendable {
    /// The number of guards in use while all work.
    public static let primaryCount = 2
    /// The maximum size of the sample.
    public static let maximumSample = 20
    /// The time for which a guard is kept, in seconds.
    public static let lifetime: ClosedRange<UInt64> = 48 * 86_400...60 * 86_400
    /// The first and the longest rest of an unreachable guard, in seconds; the rest doubles each time.
    public static let rest: ClosedRange<UInt64> = 10...1_800
    /// Failures within this number of seconds count once, because many builds wait for one link.
    static let failureSpan: UInt64 = 5
    /// The maximum number of guards of the sample that are set aside.
    public static let maximumSetAside = 2
    /// The number of seconds for which other guards in use are preferred to one that refused a build.
    public static let pause: UInt64 = 10
    /// A guard rests like an unreachable one after it has refused `builds` builds to one second hop over at least
    /// `seconds`, and accepted none to it.
    public static let lasting: (builds: Int, seconds: UInt64) = (8, 600)

    /// A node of the sample.
    public struct Guard: Hashable, Sendable {
        /// The node id.
        public let node: NodeID
        /// The remaining time for which it is kept, in seconds.
        public internal(set) var left: UInt64
        /// The time of the first path built through it.
        public internal(set) var confirmed: UnixTime?
        /// The results of its builds, and of the paths from them.
        public internal(set) var bias = PathBias()
        /// Whether others are used instead, because it ended most of its ready paths.
        public internal(set) var isSetAside = false
        /// Whether the user's choice excludes it; not kept across restarts.
        public internal(set) var isExcluded = false
        /// How its last ready paths ended; lost at a restart.
        var record = GuardRecord()
        /// Failures since it last worked; lost at a restart.
        public internal(set) var failures = 0
        /// The time of the last counted failure; lost at a restart.
        var failed = UnixTime(seconds: 0)
        /// The end of its rest; lost at a restart.
        public internal(set) var restsUntil = UnixTime(seconds: 0)
        /// The second hops to which it has refused builds and accepted none since; lost at a restart.
        var refusals: [Refusals] = []
        /// Until this time, the other guards in use are preferred; lost at a restart.
        var pausesUntil = UnixTime(seconds: 0)

        /// A guard's refusals of builds to one second hop: their number, and the time of the first.
        struct Refusals: Hashable, Sendable {
            let next: NodeID?
            var count = 0
            var since: UnixTime
        }

        /// Whether it is used while it works.
        var isInPlay: Bool { !isSetAside && !isExcluded }

        /// Whether the other guards in use are preferred.
        func isPausing(at now: UnixTime) -> Bool {
            now < pausesUntil && pausesUntil.seconds - now.seconds <= Guards.pause
        }

        /// Whether it rests at `now`.
        ///
        /// A rest that ends later than the longest possible one comes from a wrong clock and is ignored.
        func isResting(at now: UnixTime) -> Bool {
            now < restsUntil && restsUntil.seconds - now.seconds <= Guards.rest.upperBound
        }
    }

    /// The sample in order of preference: the confirmed guards by time of confirmation, then the others in the order of
    /// drawing.
    public private(set) var sample: [Guard] = []
    /// Increases with every change that should be kept on disk.
    public private(set) var generation: UInt64 = 0
    /// The time up to which the guards' time has been counted; while anything is kept, only ``age(by:)`` moves it, and
    /// only forward.
    public private(set) var counted = UnixTime(seconds: 0)
    /// The seconds counted since they last changed `generation`.
    private var uncounted: UInt64 = 0
    private var allFailed = false
    private var lastPath: UInt64 = 0
    /// The second hops of paths of three or more hops; their time is counted with the guards'.
    public var inner = InnerSet()

    /// An empty sample, filled when paths are selected.
    public init() {}

    /// The guards in use, as far as they have been drawn.
    public var primaries: [Guard] { Array(sample.lazy.filter(\.isInPlay).prefix(Self.primaryCount)) }

    /// The guards in use and those set aside.
    var ownEntries: [NodeID] { primaries.map(\.node) + sample.lazy.filter(\.isSetAside).map(\.node) }

    /// Whether a guard in use other than `node` is not resting.
    public func hasOther(than node: NodeID, at now: UnixTime) -> Bool {
        primaries.contains { $0.node != node && !$0.isResting(at: now) }
    }

    /// Leaves out the guards for which `isExcluded` holds, until the next call.
    ///
    /// They keep their places and their time, so that another choice of the user brings no other guards into use.
    public mutating func exclude(where isExcluded: (NodeID) -> Bool) {
        for index in sample.indices { sample[index].isExcluded = isExcluded(sample[index].node) }
    }

    /// Whether a choice would draw guards in place of those that ``exclude(where:)`` leaves out.
    public var lacksExcluded: Bool {
        primaries.count < Self.primaryCount && sample.contains(where: \.isExcluded)
    }

    // MARK: Events

    /// Records that a path was built through `node`, or that its link works.
    public mutating func succeeded(_ node: NodeID, at now: UnixTime) {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return }
        sample[index].failures = 0
        sample[index].restsUntil = UnixTime(seconds: 0)
        sample[index].pausesUntil = UnixTime(seconds: 0)
        if allFailed {
            // Everything was unreachable and something works again, so the client's network was down: all guards may be
            // tried again.
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

    /// Records that `node` could not be reached, is draining, or has refused builds for long; it rests, longer each
    /// time.
    public mutating func failed(_ node: NodeID, at now: UnixTime) {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return }
        let last = sample[index].failed
        guard !sample[index].isResting(at: now) || now < last || now.seconds - last.seconds >= Self.failureSpan else {
            return
        }
        let rest = min(Self.rest.lowerBound << UInt64(min(sample[index].failures, 16)), Self.rest.upperBound)
        sample[index].failures += 1
        sample[index].failed = now
        sample[index].restsUntil = UnixTime(seconds: now.seconds &+ rest)
        if sample.allSatisfy({ !$0.isInPlay || $0.isResting(at: now) }) { allFailed = true }
    }

    /// Records that the working link to `node` died: `node` rests like an unreachable guard, if another guard does not
    /// rest.
    ///
    /// If all would rest, this machine's network may be down; then the same guards must be tried again.
    public mutating func lost(_ node: NodeID, at now: UnixTime) {
        guard sample.contains(where: { $0.node != node && $0.isInPlay && !$0.isResting(at: now) }) else { return }
        failed(node, at: now)
    }

    /// Records that `node` itself refused a build to `next`, as an overloaded guard does; it pauses.
    ///
    /// The client or others may temporarily ask too much of the guard, so no new guard replaces it. A guard that keeps
    /// refusing builds to one second hop rests like an unreachable one, so that a guard cannot choose among the second
    /// hops.
    public mutating func refused(_ node: NodeID, next: NodeID?, at now: UnixTime) {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return }
        sample[index].pausesUntil = UnixTime(seconds: now.seconds &+ Self.pause)
        var entry =
            sample[index].refusals.first { $0.next == next } ?? Guard.Refusals(next: next, since: now)
        // The clock may have been set back.
        entry.since = min(entry.since, now)
        entry.count = min(entry.count + 1, Self.lasting.builds)
        sample[index].refusals.removeAll { $0.next == next }
        sample[index].refusals = sample[index].refusals.suffix(InnerSet.maximum - 1) + [entry]
        if entry.count >= Self.lasting.builds, now.seconds - entry.since.seconds >= Self.lasting.seconds {
            failed(node, at: now)
        }
    }

    /// Records that `node` accepted a build to `next`, whatever the result behind it.
    public mutating func accepted(_ node: NodeID, next: NodeID?) {
        guard let index = sample.firstIndex(where: { $0.node == node }), !sample[index].refusals.isEmpty else { return }
        sample[index].refusals.removeAll { $0.next == next }
    }

    /// Records the result of a build that got past the guard `node`; returns a level of suspicion when it is newly
    /// reached.
    ///
    /// Call it if the hop behind the guard answered or failed to. Do not call it if the guard was unreachable or
    /// refused the build itself.
    public mutating func builtPath(through node: NodeID, succeeded: Bool) -> PathBias.Level? {
        guard let index = sample.firstIndex(where: { $0.node == node }) else { return nil }
        generation &+= 1
        return sample[index].bias.add(succeeded: succeeded)
    }

    /// Records that a path over `hops` is ready; returns its number for ``pathEnded(_:through:_:)``.
    public mutating func pathReady(_ hops: [NodeID]) -> UInt64 {
        lastPath &+= 1
        if let index = sample.firstIndex(where: { $0.node == hops[0] }) { sample[index].record.ready(lastPath, hops) }
        return lastPath
    }

    /// Records that the ready path `number` through `node` ended, not at the client's wish.
    ///
    /// Returns a level of suspicion when it is newly reached, and whether the guard is now set aside. It is set aside
    /// if most of its last paths ended so, and its fault rate is more than three times that of the other guards: on a
    /// bad network all guards look alike.
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

    /// Counts `seconds` that have passed; drops the guards and the nodes of the inner set whose time is over.
    ///
    /// While the process runs, take the time from a clock that cannot be set.
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

    /// Counts the time for which the machine was off, up to `time`; pass the earlier of the own clock's and the
    /// network's time.
    public mutating func ageWhileOff(upTo time: UnixTime) {
        if time > counted { age(by: time.seconds - counted.seconds) }
    }

    // MARK: For path selection

    /// The guards in use among those that `isUsable` allows, without those that rest at `now`.
    func working(at now: UnixTime, isUsable: (NodeID) -> Bool) -> [Guard] {
        sample.filter { isUsable($0.node) && !$0.isSetAside }.prefix(Self.primaryCount)
            .filter { !$0.isResting(at: now) }
    }

    /// Adds `node` to the sample; returns whether it was added.
    ///
    /// If the sample is full, the last node that `isListed` rejects is removed.
    mutating func add(
        _ node: NodeID, at now: UnixTime, isListed: (NodeID) -> Bool, using generator: inout some RandomNumberGenerator
    ) -> Bool {
        guard !sample.contains(where: { $0.node == node }) else { return false }
        if sample.count >= Self.maximumSample {
            guard let gone = sample.lastIndex(where: { !isListed($0.node) }) else { return false }
            sample.remove(at: gone)
        }
        // If something is kept, its time continues from the present count.
        if sample.isEmpty, inner.members.isEmpty { counted = now }
        sample.append(Guard(node: node, left: UInt64.random(in: Self.lifetime, using: &generator)))
        generation &+= 1
        return true
    }

    /// The nodes of the sample that `isUsable` allows, in the order to try them, and whether each rests at `now`.
    ///
    /// First come the primary guards that do not rest, in random order, with pausing ones last. Then come the others
    /// that do not rest, then the resting ones, then those set aside.
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

    /// The data to keep across restarts: one row for each guard.
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

    /// The data of the inner set to keep across restarts: one row for each node.
    public var innerRows: [NodeRow] { inner.rows(counted: counted) }

    /// Restores kept rows of guards and of the inner set; skips unreadable rows.
    ///
    /// Rows of version 1 have two dates: when the guard was drawn, and when its time ends. Rows of version 2 do not say
    /// whether the guard is set aside.
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

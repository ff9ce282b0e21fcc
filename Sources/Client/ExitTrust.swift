import Wire

/// Exits whose legs die young, one after the other.
///
/// A middle that dies takes many legs along at once; an exit that ends legs to learn who builds them also ends those that replace
/// them, which go over other middles. So an exit is distrusted when three times within ten minutes a leg to it died young, over
/// two middles at least; legs that died together with one middle count once. It is not chosen then for half an hour while there
/// are others, sessions take no new streams there, and no standby legs are built to it.
///
/// A guard can end all legs over it as well. So the legs must have gone over two guards, but for those that the guard cannot have
/// ended: what the exit has said itself counts, and so does each leg when there is no other guard and this one's other paths
/// stand. A leg that is lost leads to one over the other guard (``GuardPauses``): an exit that ends that one too is found, and a
/// guard is left with the legs over it.
struct ExitTrust {
    /// A leg that dies younger than this counts against its exit.
    static let youth = TimeSpan.seconds(60)
    /// How many legs must die young, and over how many middles and guards.
    static let limit = (legs: 3, middles: 2, guards: 2)
    /// How many lost legs to one exit are remembered.
    static let maximumLosses = 16
    /// How long a lost leg counts.
    static let window = TimeSpan.seconds(600)
    /// How long an exit is distrusted.
    static let memory = TimeSpan.seconds(1_800)
    /// How many exits are remembered, of each kind; the oldest entry makes room.
    static let maximum = 256

    private typealias Loss = (middle: NodeID, entry: NodeID?, at: Instant)

    /// By exit, the middles and guards of legs that died young, the last one at the end.
    private var losses: [NodeID: [Loss]] = [:]
    private var distrusted: [NodeID: Instant] = [:]

    /// Notes that a leg to `exit` behind `middle` died young, or was refused by the exit; its build began at `since`.
    ///
    /// `entry` is its guard; nil when that cannot have done it.
    mutating func lost(
        _ exit: NodeID, behind middle: NodeID, over entry: NodeID?, since: Instant, at now: Instant
    ) {
        var known = losses[exit, default: []].filter { now - $0.at < Self.window }
        guard !known.contains(where: { $0.middle == middle && $0.at >= since }) else { return }
        known.append((middle, entry, now))
        if known.count >= Self.limit.legs, Set(known.map(\.middle)).count >= Self.limit.middles,
            Self.guards(known.map(\.entry)) >= Self.limit.guards
        {
            return distrust(exit, at: now)
        }
        if losses[exit] == nil, losses.count >= Self.maximum, let oldest = losses.min(by: { last($0) < last($1) }) {
            losses[oldest.key] = nil
        }
        losses[exit] = known.suffix(Self.maximumLosses)
    }

    /// Over how many guards legs were lost, where each counts for one that its guard cannot have ended.
    static func guards(_ entries: [NodeID?]) -> Int {
        Set(entries.compactMap { $0 }).count + entries.count { $0 == nil }
    }

    private func last(_ entry: (key: NodeID, value: [Loss])) -> Instant {
        entry.value.last?.at ?? Instant(nanoseconds: 0)
    }

    /// Does not choose `exit` for a while.
    mutating func distrust(_ exit: NodeID, at now: Instant) {
        losses[exit] = nil
        // Sessions that have begun there since are there for want of others.
        if isDistrusted(exit, at: now) { return }
        if distrusted.count >= Self.maximum, let oldest = distrusted.min(by: { $0.value < $1.value }) {
            distrusted[oldest.key] = nil
        }
        distrusted[exit] = now
    }

    /// Whether `exit` is not to be chosen now.
    func isDistrusted(_ exit: NodeID, at now: Instant) -> Bool {
        distrusted[exit].map { now - $0 < Self.memory } ?? false
    }

    /// Whether `exit` is not to be chosen now, and came to be so at `moment` or later.
    func isDistrusted(_ exit: NodeID, at now: Instant, since moment: Instant) -> Bool {
        isDistrusted(exit, at: now) && distrusted[exit].map { $0 >= moment } ?? false
    }

    /// The exits that are not to be chosen while there are others.
    func distrusted(at now: Instant) -> [NodeID] { distrusted.filter { now - $0.value < Self.memory }.map(\.key) }
}

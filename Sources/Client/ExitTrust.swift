import Wire

/// Distrusts exits whose legs die young, one after the other.
///
/// A middle that dies ends many legs at once. An exit that ends legs to learn who builds them also ends their
/// replacements, which use other middles. So an exit is distrusted when three legs to it died young within ten minutes,
/// over at least two middles. Legs that died together with one middle count once. A distrusted exit is not chosen for
/// half an hour if there are others. Its sessions accept no new streams, and no standby legs to it are built.
///
/// A guard can also end all legs over it, so the lost legs must have used two guards. A leg that its guard cannot have
/// ended counts as one guard more: a leg that the exit itself ended, or any leg if no other guard is in use and other
/// paths over this one stay up. A lost leg is replaced over the other guard (``GuardPauses``). A guard can only end the
/// legs over it; an exit that ends the replacement too is thereby found.
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
    /// How many exits with losses, and how many distrusted exits, are remembered; the oldest entry makes room.
    static let maximum = 256

    private typealias Loss = (middle: NodeID, entry: NodeID?, at: Instant)

    /// By exit, the legs that died young, the latest last.
    private var losses: [NodeID: [Loss]] = [:]
    private var distrusted: [NodeID: Instant] = [:]

    /// Notes that a leg to `exit` behind `middle` died young, or was refused by the exit; its build began at `since`.
    ///
    /// `entry` is the guard; nil if the guard cannot have caused it.
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

    /// The number of guards over which legs were lost; a leg that its guard cannot have ended counts as one more.
    static func guards(_ entries: [NodeID?]) -> Int {
        Set(entries.compactMap { $0 }).count + entries.count { $0 == nil }
    }

    private func last(_ entry: (key: NodeID, value: [Loss])) -> Instant {
        entry.value.last?.at ?? Instant(nanoseconds: 0)
    }

    /// Distrusts `exit` from now on.
    mutating func distrust(_ exit: NodeID, at now: Instant) {
        losses[exit] = nil
        // Sessions that began there since then had no other exit.
        if isDistrusted(exit, at: now) { return }
        if distrusted.count >= Self.maximum, let oldest = distrusted.min(by: { $0.value < $1.value }) {
            distrusted[oldest.key] = nil
        }
        distrusted[exit] = now
    }

    /// Whether `exit` is distrusted now.
    func isDistrusted(_ exit: NodeID, at now: Instant) -> Bool {
        distrusted[exit].map { now - $0 < Self.memory } ?? false
    }

    /// Whether `exit` is distrusted now, and became so at `moment` or later.
    func isDistrusted(_ exit: NodeID, at now: Instant, since moment: Instant) -> Bool {
        isDistrusted(exit, at: now) && distrusted[exit].map { $0 >= moment } ?? false
    }

    /// The exits that are distrusted now.
    func distrusted(at now: Instant) -> [NodeID] { distrusted.filter { now - $0.value < Self.memory }.map(\.key) }
}

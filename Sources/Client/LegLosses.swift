import Wire

/// The lost legs of a session, without those that ended with their guard's link or that the session ended itself.
///
/// The exit can cause any other end of a leg, or make it look like another hop's: DESTROY through the guard, LEG_CLOSE,
/// silence, a build that fails after the middle. So each such end counts, and replacements are limited: an exit must
/// not decide how many paths its client builds. A guard can end legs too. It cannot end a session that has lost no leg
/// over another guard, unless no other guard is in use.
struct LegLosses {
    /// How many standby legs may be built in one period to replace lost ones.
    static let replacements = 2
    /// The first period and the longest.
    ///
    /// It doubles if it was used up and a leg is needed before another period has passed.
    static let period = (first: TimeSpan.seconds(60), longest: TimeSpan.seconds(960))
    /// This many losses within ``window``, over at least two guards, end the session as if its exit had died.
    static let limit = 6
    /// This many losses over one guard do so too: more than occur in ``window`` while a leg over another guard lasts.
    static let limitOfOneGuard = 12
    /// How long a loss counts.
    static let window = TimeSpan.seconds(600)

    private var losses: [(entry: NodeID?, at: Instant)] = []
    /// The middles of the legs that were lost young, and when.
    private var middles: [(node: NodeID, at: Instant)] = []
    /// How many lost legs have not been replaced yet.
    private(set) var owed = 0
    private var replaced = 0
    private var period = LegLosses.period.first
    private var periodEnd = Instant(nanoseconds: 0)

    /// Notes a lost leg, or a build that failed at the exit; `middle` is the hop before the exit if the leg was young.
    ///
    /// `entry` is the guard; nil if the guard cannot have caused it.
    mutating func lost(middle: NodeID?, over entry: NodeID?, at now: Instant) {
        losses.removeAll { now - $0.at >= Self.window }
        losses.append((entry, now))
        owed = min(owed + 1, Self.limit)
        guard let middle else { return }
        middles.removeAll { now - $0.at >= Self.window || $0.node == middle }
        middles.append((middle, now))
    }

    /// Whether so many legs were lost recently that the session must end.
    func isOver(at now: Instant) -> Bool {
        isExitsDoing(at: now) || losses.count { now - $0.at < Self.window } >= Self.limitOfOneGuard
    }

    /// Whether so many legs were lost recently, over two guards at least, that the exit is the cause.
    func isExitsDoing(at now: Instant) -> Bool {
        let recent = losses.lazy.filter { now - $0.at < Self.window }.map(\.entry)
        return recent.count >= Self.limit && ExitTrust.guards(Array(recent)) >= ExitTrust.limit.guards
    }

    /// Middles of legs that were recently lost young; others are tried first.
    func middlesToAvoid(at now: Instant) -> [NodeID] { middles.filter { now - $0.at < Self.window }.map(\.node) }

    /// Whether a leg may be built now; if so, it is counted.
    ///
    /// A leg may always be built if no lost leg is left to replace, or if there is no leg (`isLegless`).
    mutating func mayBuild(isLegless: Bool, at now: Instant) -> Bool {
        guard owed > 0 else { return true }
        if isLegless {
            owed -= 1
            return true
        }
        if now >= periodEnd {
            let isSoon = replaced >= Self.replacements && now < periodEnd + period
            period = isSoon ? min(period * 2, Self.period.longest) : Self.period.first
            periodEnd = now + period
            replaced = 0
        }
        guard replaced < Self.replacements else { return false }
        replaced += 1
        owed -= 1
        return true
    }
}

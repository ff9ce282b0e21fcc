import Wire

/// What a session has lost of its legs, not counting those that went with their guard's link or that it ended itself.
///
/// Whatever else ends a leg, the exit can do, or make look like another hop's doing: DESTROY through the guard, LEG_CLOSE,
/// silence, a build that fails behind the middle. So each such end counts, and legs that replace others are rationed: an exit
/// must not decide how many paths its client builds. A guard can end legs too: it does not end a session that has lost none over
/// another guard, unless no other is there to go over.
struct LegLosses {
    /// How many standby legs may be built in place of lost ones in one period.
    static let replacements = 2
    /// The first period and the longest: it doubles when it was used up and the next one is needed before another has passed.
    static let period = (first: TimeSpan.seconds(60), longest: TimeSpan.seconds(960))
    /// How many losses within ``window`` end the session, as if its exit had died, over two guards at least.
    static let limit = 6
    /// How many do if all went over one guard: more than are lost in ``window`` while a leg over another stands.
    static let limitOfOneGuard = 12
    /// How long a loss counts.
    static let window = TimeSpan.seconds(600)

    private var losses: [(entry: NodeID?, at: Instant)] = []
    /// The middles of the legs that were lost young, and when.
    private var middles: [(node: NodeID, at: Instant)] = []
    /// How many standby legs are owed to lost ones.
    private(set) var owed = 0
    private var replaced = 0
    private var period = LegLosses.period.first
    private var periodEnd = Instant(nanoseconds: 0)

    /// Notes a lost leg or a build that failed at the exit; `middle` is the hop before the exit when the leg was young.
    ///
    /// `entry` is its guard; nil when that cannot have done it.
    mutating func lost(middle: NodeID?, over entry: NodeID?, at now: Instant) {
        losses.removeAll { now - $0.at >= Self.window }
        losses.append((entry, now))
        owed = min(owed + 1, Self.limit)
        guard let middle else { return }
        middles.removeAll { now - $0.at >= Self.window || $0.node == middle }
        middles.append((middle, now))
    }

    /// Whether so many legs were lost of late that the session is over.
    func isOver(at now: Instant) -> Bool {
        isExitsDoing(at: now) || losses.count { now - $0.at < Self.window } >= Self.limitOfOneGuard
    }

    /// Whether so many were lost of late over more than one guard.
    func isExitsDoing(at now: Instant) -> Bool {
        let recent = losses.lazy.filter { now - $0.at < Self.window }.map(\.entry)
        return recent.count >= Self.limit && ExitTrust.guards(Array(recent)) >= ExitTrust.limit.guards
    }

    /// Middles over which legs were lost young of late: others are tried first.
    func middlesToAvoid(at now: Instant) -> [NodeID] { middles.filter { now - $0.at < Self.window }.map(\.node) }

    /// Whether a leg may be built now; to be called when it is.
    ///
    /// A first standby leg, or one for a leg that is old, always may; so may any leg while there is none (`isLegless`).
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

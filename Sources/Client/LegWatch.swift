import Transport
import Wire

/// Tracks the legs of a session that do not answer probes, and finds a leg to carry the data instead.
struct LegWatch {
    /// How long a suspect leg may stay beside others before it is ended: usually, and while no guard answers.
    static let limit = TimeSpan.seconds(2), longest = TimeSpan.seconds(10)

    /// Since when each suspect leg is suspect; a leg stays here until it answers or is removed.
    private var suspects: [LegID: Instant] = [:]

    /// Notes that two probes in a row were not answered.
    mutating func suspect(_ leg: LegID, at now: Instant) {
        if suspects[leg] == nil { suspects[leg] = now }
    }

    /// Notes that a packet came over the leg; returns whether the leg was suspect.
    mutating func answered(_ leg: LegID) -> Bool { suspects.removeValue(forKey: leg) != nil }

    /// Forgets a leg that is gone.
    mutating func remove(_ leg: LegID) { suspects[leg] = nil }

    /// The leg that should carry the data in place of `active`; nil if `active` answers, or no other leg does.
    func replacement(for active: LegID?, among legs: some Sequence<LegID>) -> LegID? {
        guard let active, suspects[active] != nil else { return nil }
        return legs.first { suspects[$0] == nil }
    }

    /// A leg that has been suspect for too long; nil if there is none.
    ///
    /// A session's only leg counts only if the exit never answered over it (`wasAnswered`). If `isLineSilent`, no guard
    /// answers either: this machine's line may be congested, so legs get more time.
    func overdue(
        at now: Instant, among legs: some Collection<LegID>, isLineSilent: Bool = false, wasAnswered: (LegID) -> Bool
    ) -> LegID? {
        let limit = isLineSilent ? Self.longest : Self.limit
        return legs.first { leg in
            guard let since = suspects[leg], now - since > Self.limit else { return false }
            return !wasAnswered(leg) || legs.count > 1 && now - since > limit
        }
    }
}

import Transport
import Wire

/// Which legs of a session answer no probes, and which leg its data should go over instead.
struct LegWatch {
    /// How long a leg that answers no probes may stay beside others before it is given up, usually and while no guard answers.
    static let limit = TimeSpan.seconds(2), longest = TimeSpan.seconds(10)

    /// Since when each leg that answers nothing is suspect; it stays here until it answers or is removed.
    private var suspects: [LegID: Instant] = [:]

    /// Notes that two probes in a row were not answered.
    mutating func suspect(_ leg: LegID, at now: Instant) {
        if suspects[leg] == nil { suspects[leg] = now }
    }

    /// Notes that something came over the leg; whether it was suspect.
    mutating func answered(_ leg: LegID) -> Bool { suspects.removeValue(forKey: leg) != nil }

    /// Forgets a leg that is gone.
    mutating func remove(_ leg: LegID) { suspects[leg] = nil }

    /// The leg that should carry the data in place of `active`; nil when that answers, or when no other does.
    func replacement(for active: LegID?, among legs: some Sequence<LegID>) -> LegID? {
        guard let active, suspects[active] != nil else { return nil }
        return legs.first { suspects[$0] == nil }
    }

    /// A leg that has been suspect for too long; one that is the only one only when `wasAnswered` says that it never was.
    ///
    /// `isLineSilent` says that no guard answers either: then the own line may be crowded.
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

import Registry
import Testing

@Suite struct NameTests {
    @Test("V3: the rules' names, which travel in answers, are those of docs/registry.md")
    func v3NamesOfRules() {
        let refusals: [(RegistryRefusal, String)] = [
            (.replayed(expected: 1), "replayed"), (.expired(until: 1), "expired"), (.wrongSigner, "wrongSigner"),
            (.overspent(available: 1), "overspent"), (.tooFewActive(least: 3), "tooFewActive"),
            (.inMaintenance(until: 1), "inMaintenance"), (.maintenanceTooLong(limit: 1), "maintenanceTooLong"),
            (.tooFewVotes(votes: 1, needed: 2), "tooFewVotes"), (.nothingToClaim, "nothingToClaim"),
        ]
        for (refusal, name) in refusals { #expect(refusal.name == name) }
        let ledger: [(LedgerRefusal, String)] = [
            (.fork(height: 1), "fork"), (.operation(0, .blockFull), "operation"), (.begin(.timeWentBack), "begin"),
            (.wrongState, "wrongState"),
        ]
        for (refusal, name) in ledger { #expect(refusal.name == name) }
        let standings: [RegisteredNode.Standing] = [.open, .active, .decommissioned]
        #expect(standings.map(\.name) == ["open", "active", "decommissioned"])
    }
}

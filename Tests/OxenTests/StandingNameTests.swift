import Oxen
import Testing

/// The names of states in reports do not change with the names in the source.
struct StandingNameTests {
    @Test("V3: names of a node's states are literals")
    func v3NamesOfStandings() {
        #expect(OxendNode.Standing.allCases.map(\.name) == ["open", "active", "decommissioned"])
    }
}

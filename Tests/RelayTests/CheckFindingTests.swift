import Testing
import Wire

@testable import Relay

@Suite struct CheckFindingTests {
    @Test("a finding has the name of its check, and its remedy")
    func texts() throws {
        let address = try #require(Endpoint("192.0.2.1:443"))
        let cases: [(CheckFinding, name: String, text: String)] = [
            (.bound([address]), "port", "bound to 192.0.2.1:443"),
            (.clock(difference: 3), "clock", "3 s from the other nodes'"),
            (
                .wrongClock(.wrongClock(minutes: 9, isAhead: true)), "clock",
                "The clock of this machine is 9 minutes ahead"
            ),
            (.registry(.stale(days: 30)), "registry", "The newest snapshot is more than 30 days old"),
            (.standing(.unstaked(height: 4)), "registry", "This node is not staked in the snapshot of height 4."),
            (.links(0), "links", "linked with no other node; look whether UDP leaves this machine"),
            (.links(2), "links", "linked with 2 other nodes"),
            (.reached(address, by: 1, of: 3), "reachable", "1 of 3 nodes asked made a new link to 192.0.2.1:443"),
            (
                .unreached(address, asked: 3), "reachable",
                "none of 3 nodes asked could make a link to 192.0.2.1:443; open"
            ),
            (.noRoute(address), "reachable", "no node asked can try 192.0.2.1:443: none has a route"),
            (.unasked(address), "reachable", "no node could be asked whether it reaches 192.0.2.1:443"),
            (.descriptor(takenBy: 0, of: 3), "descriptor", "none of 3 nodes asked has taken it; look at the clock"),
            (.descriptor(takenBy: 2, of: 3), "descriptor", "2 of 3 nodes asked have taken it"),
        ]
        for (finding, name, text) in cases {
            #expect(finding.name == name && finding.text.hasPrefix(text), "\(finding)")
        }
    }
}

import Link
import Testing

struct DropNameTests {
    @Test("V3, V9: names of drops are literals, and packets without a path are told from those of ended paths")
    func v3v9NamesOfDrops() {
        #expect(
            LinkDropReason.allCases.map(\.name) == [
                "wrongSize", "unknownType", "badMAC", "cookieLimit", "sourceLimit", "replayedInitiation",
                "badHandshake",
                "malformed", "notStaked", "staleTimestamp", "unexpectedAnswer", "unknownIndex", "replayedPacket",
                "badHeader", "replayedControl", "badControl", "pathlessPacket", "linkLimit", "notSendable",
            ])
        var counters = DropCounters()
        counters.count(.unknownPath)
        #expect(counters.byName == ["pathlessPacket": 1])
    }
}

import Testing
import Wire

/// The names of reasons in status, metrics and dashboards do not change with the names in the source.
struct NameTests {
    @Test("V3: names of dropped datagrams are literals, and the counts go by them")
    func v3NamesOfDatagramDrops() {
        let names = [
            "udpSource", "udpUnreadable", "udpNotAllowed", "udpHosts", "udpRate", "udpName", "udpSocket", "udpQueue",
        ]
        #expect(DatagramDrops.Reason.allCases.map(\.name) == names)
        for (reason, name) in zip(DatagramDrops.Reason.allCases, names) {
            var drops = DatagramDrops()
            drops.add(reason)
            #expect(drops.byName == [name: 1])
        }
    }
}

import DNSProtocol
import Testing
import Wire

@testable import Client

/// Names that must not leave the machine.
@Suite struct LocalNameTests {
    @Test(
        "L1: no exit is asked for names of nodes, and for those that no name server should see",
        arguments: ["printer.local", "a.invalid", "abc.onion", "abc.snode", "Printer.LOCAL.", "local"])
    func l1LocalNamesStay(_ text: String) throws {
        let name = try #require(HostName(text))
        #expect(LocalName.isNowhere(name))
        for type in [RecordType.a, .aaaa, .txt] { #expect(DNSQuestion(name: name, type: type).known != nil) }
    }

    @Test("L1: names of this machine are answered without an exit")
    func l1NamesOfThisMachineStay() throws {
        for text in ["localhost", "a.localhost"] {
            let name = try #require(HostName(text))
            #expect(DNSQuestion(name: name, type: .a).known != nil)
            #expect(!LocalName.isNowhere(name))
        }
        let other = try #require(HostName("local.example.org"))
        #expect(DNSQuestion(name: other, type: .a).known == nil && !LocalName.isNowhere(other))
    }
}

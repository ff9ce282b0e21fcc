import DNSProtocol
import Testing
import Wire

@testable import Client

/// Names that must not leave the machine.
@Suite struct LocalNameTests {
    @Test(
        "L1: no exit is asked for names of nodes and services, and for those that no name server should see",
        arguments: [
            "printer.local", "a.invalid", "abc.onion", "abc.snode", "Printer.LOCAL.", "local", "abc.tunic",
            "www.abc.tunic", "abc.loki",
        ])
    func l1LocalNamesStay(_ text: String) throws {
        let name = try #require(HostName(text))
        #expect(LocalName.isNowhere(name))
        for type in [RecordType.a, .aaaa, .txt] {
            #expect(DNSQuestion(name: name, type: type).known(allowsPrivate: true) != nil)
        }
    }

    @Test("L1: names of this machine are answered without an exit")
    func l1NamesOfThisMachineStay() throws {
        for text in ["localhost", "a.localhost"] {
            let name = try #require(HostName(text))
            #expect(DNSQuestion(name: name, type: .a).known(allowsPrivate: true) != nil)
            #expect(!LocalName.isNowhere(name))
        }
        let other = try #require(HostName("local.example.org"))
        #expect(DNSQuestion(name: other, type: .a).known(allowsPrivate: false) == nil && !LocalName.isNowhere(other))
    }

    @Test(
        "L1: names of the machine's own network are not looked up by an exit",
        arguments: [
            "nas.lan", "wiki.corp", "router.home.arpa", "a.internal", "nas.localdomain", "1.0.168.192.in-addr.arpa",
            "lb._dns-sd._udp.0.2.10.in-addr.arpa", "168.192.in-addr.arpa", "1.64.100.in-addr.arpa",
            "b._dns-sd._udp.0.0.0.d.f.ip6.arpa", "0.8.e.f.ip6.arpa",
        ])
    func l1NamesOfTheOwnNetworkStay(_ text: String) throws {
        let name = try #require(HostName(text))
        for type in [RecordType.a, .ptr, .txt] {
            let question = DNSQuestion(name: name, type: type)
            #expect(question.known(allowsPrivate: false) != nil && question.known(allowsPrivate: true) == nil)
        }
        #expect(LocalName.isOwn(name))
    }

    @Test(
        "L1: public names are looked up by an exit",
        arguments: [
            "lan.example.org", "home.example", "arpa", "in-addr.arpa", "8.8.8.8.in-addr.arpa", "1.172.in-addr.arpa",
            "ip6.arpa", "8.e.f.0.6.2.ip6.arpa", "x.in-addr.arpa",
        ])
    func l1PublicNamesAreLookedUp(_ text: String) throws {
        let name = try #require(HostName(text))
        for type in [RecordType.ptr, .txt] {
            #expect(DNSQuestion(name: name, type: type).known(allowsPrivate: false) == nil)
        }
        #expect(LocalName.isOwn(name) == (text == "arpa"))
    }

    @Test("L1: how to reach a name without a dot is not looked up; its other records are") func l1BareNames() throws {
        let name = try #require(HostName("nas"))
        for type in [RecordType.a, .aaaa, .https, .svcb] {
            #expect(DNSQuestion(name: name, type: type).known(allowsPrivate: false) != nil)
        }
        #expect(DNSQuestion(name: name, type: .ns).known(allowsPrivate: false) == nil)
    }
}

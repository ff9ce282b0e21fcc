import SocksProtocol
import Testing
import Wire

@Suite struct SocksReplyTests {
    @Test func everyCodeWithNoAddress() {
        #expect(SocksReply.allCases.map(\.rawValue) == Array(0...8))
        for reply in SocksReply.allCases {
            #expect(reply.encoded() == [5, reply.rawValue, 0, 1, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test func whatLookUpsFind() throws {
        let v4 = Destination.Host.address(try #require(IPAddress("1.2.3.4")))
        let v6 = Destination.Host.address(try #require(IPAddress("2001:db8::1")))
        let name = Destination.Host.name(try #require(HostName("a.example")))
        #expect(SocksReply.encoded(found: v4, via: .socks5) == [5, 0, 0, 1, 1, 2, 3, 4, 0, 0])
        #expect(
            SocksReply.encoded(found: v6, via: .socks5)
                == [5, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])
        #expect(SocksReply.encoded(found: name, via: .socks5) == [5, 0, 0, 3, 9] + Array("a.example".utf8) + [0, 0])
        #expect(SocksReply.encoded(found: v4, via: .socks4) == [0, 90, 0, 0, 1, 2, 3, 4])
        #expect(SocksReply.encoded(found: v6, via: .socks4) == [0, 91, 0, 0, 0, 0, 0, 0])
        #expect(SocksReply.encoded(found: name, via: .socks4) == [0, 91, 0, 0, 0, 0, 0, 0])
    }

    @Test func boundAddresses() throws {
        let v4 = try #require(Endpoint("1.2.3.4:4660"))
        #expect(SocksReply.succeeded.encoded(bound: v4) == [5, 0, 0, 1, 1, 2, 3, 4, 0x12, 0x34])
        let v6 = try #require(Endpoint("[2001:db8::1:2]:443"))
        #expect(
            SocksReply.succeeded.encoded(bound: v6)
                == [5, 0, 0, 4, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0x01, 0xbb])
    }

    @Test(
        arguments: [
            (OpenReply.Status.ok, 0), (.refused, 5), (.hostUnreachable, 4), (.networkUnreachable, 3),
            (.hostNotFound, 4),
            (.notAllowed, 2), (.timeout, 6), (.generalFailure, 1), (.tooManyStreams, 1),
        ] as [(OpenReply.Status, UInt8)])
    func codeOfEveryExitStatus(status: OpenReply.Status, code: UInt8) {
        #expect(SocksReply(status).rawValue == code)
    }
}

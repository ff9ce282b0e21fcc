import SocksProtocol
import Testing
import Wire

@Suite("L5: datagrams between an app and the proxy") struct SocksDatagramTests {
    private static let data: [UInt8] = [9, 8, 7]

    private static func destination(_ host: String, _ port: UInt16) -> Destination {
        let address = IPAddress(host)
        return Destination(host: address.map { .address($0) } ?? .name(HostName(host)!), port: port)
    }

    private static let encodings: [(peer: Destination, head: [UInt8])] = [
        (destination("1.2.3.4", 53), [0, 0, 0, 1, 1, 2, 3, 4, 0, 53]),
        (
            destination("2001:db8::1", 0x1234),
            [0, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x12, 0x34]
        ),
        (destination("a.example", 443), [0, 0, 0, 3, 9] + "a.example".utf8 + [1, 0xbb]),
    ]

    @Test func haveOneForm() {
        for (peer, head) in Self.encodings {
            let bytes = head + Self.data
            #expect(SocksDatagram.encoded(from: peer, Self.data.rawSpan) == bytes)
            let decoded = SocksDatagram.decode(from: bytes.rawSpan)
            #expect(decoded?.peer == peer && decoded?.offset == head.count)
            for length in 0..<head.count {
                let part = Array(bytes[..<length])
                #expect(SocksDatagram.decode(from: part.rawSpan) == nil)
            }
        }
    }

    @Test func aNameThatSpellsAnAddressIsOne() {
        let bytes: [UInt8] = [0, 0, 0, 3, 7] + "1.2.3.4".utf8 + [0, 53]
        #expect(SocksDatagram.decode(from: bytes.rawSpan)?.peer == Self.destination("1.2.3.4", 53))
    }

    @Test(
        "fragments, reserved bytes, unknown types, empty and impossible names, and port 0 are dropped",
        arguments: [
            [0, 0, 1, 1, 1, 2, 3, 4, 0, 53], [0, 0, 0x80, 1, 1, 2, 3, 4, 0, 53], [1, 0, 0, 1, 1, 2, 3, 4, 0, 53],
            [0, 1, 0, 1, 1, 2, 3, 4, 0, 53], [0, 0, 0, 2, 1, 2, 3, 4, 0, 53], [0, 0, 0, 0, 1, 2, 3, 4, 0, 53],
            [0, 0, 0, 3, 0, 0, 53], [0, 0, 0, 3, 2, 0x61, 0, 0, 53], [0, 0, 0, 3, 2, 0x61, 0x20, 0, 53],
            [0, 0, 0, 3, 2, 0xc3, 0xa4, 0, 53], [0, 0, 0, 1, 1, 2, 3, 4, 0, 0], [],
        ] as [[UInt8]])
    func whatIsDropped(bytes: [UInt8]) {
        let datagram = bytes + Self.data
        #expect(SocksDatagram.decode(from: datagram.rawSpan) == nil)
    }

    @Test("some apps say nothing useful about where their datagrams will come from")
    func hintsOfAssociations() {
        for host in [[3, 1, 0x30], [3, 0], [3, 2, 0x61, 0]] as [[UInt8]] {
            let input: [UInt8] = [5, 1, 0, 5, 3, 0] + host + [0, 7]
            #expect(feed([input]).request == request(.udpAssociate, "0.0.0.0", 7))
        }
        // In other commands an invalid name is still an error.
        #expect(feed([[5, 1, 0, 5, 1, 0, 3, 1, 0x30, 0, 80]]).error == .badName)
    }
}

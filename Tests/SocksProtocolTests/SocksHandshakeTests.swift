import SocksProtocol
import Testing
import Wire

private func named(_ name: [UInt8], command: UInt8 = 1) -> [UInt8] {
    [5, 1, 0, 5, command, 0, 3, UInt8(name.count)] + name + [0x01, 0xbb]
}
private func named(_ name: String, command: UInt8 = 1) -> [UInt8] { named(Array(name.utf8), command: command) }

private let connect: [UInt8] = [5, 1, 0, 1, 1, 2, 3, 4, 0, 80]
private let connected = request(.connect, "1.2.3.4", 80)
private let general: [UInt8] = [5, 1, 0, 1, 0, 0, 0, 0, 0, 0]
private let noCommand: [UInt8] = [5, 7, 0, 1, 0, 0, 0, 0, 0, 0]
private let noType: [UInt8] = [5, 8, 0, 1, 0, 0, 0, 0, 0, 0]
private let long63 = String(repeating: "a", count: 63)
private let long253 = "\(long63).\(long63).\(long63).\(String(repeating: "b", count: 61))"
private let user255 = Array(repeating: UInt8(0xff), count: 255)

private let cases: [Case] = [
    // Methods (RFC 1928, section 3).
    Case("no authentication", [5, 1, 0] + connect, sent: [5, 0], request: connected),
    Case("no authentication among others", [5, 3, 1, 0, 0x80] + connect, sent: [5, 0], request: connected),
    Case(
        "both methods: user/password is taken", [5, 2, 0, 2, 1, 1, 0x75, 1, 0x70] + connect, sent: [5, 2, 1, 0],
        request: request(.connect, "1.2.3.4", 80, SocksCredentials(user: [0x75], password: [0x70]))),
    Case(
        "user/password alone", [5, 1, 2, 1, 2, 0x75, 0x76, 1, 0x70] + connect, sent: [5, 2, 1, 0],
        request: request(.connect, "1.2.3.4", 80, SocksCredentials(user: [0x75, 0x76], password: [0x70]))),
    Case(
        "the same method twice", [5, 2, 2, 2, 1, 1, 0x75, 1, 0x70] + connect, sent: [5, 2, 1, 0],
        request: request(.connect, "1.2.3.4", 80, SocksCredentials(user: [0x75], password: [0x70]))),
    Case(
        "255 methods, the last will do", [5, 255] + Array(repeating: 9, count: 254) + [0] + connect, sent: [5, 0],
        request: connected),
    Case(
        "255 methods, none will do", [5, 255] + Array(repeating: 9, count: 255), error: .noAcceptableMethod,
        answer: [5, 0xff]),
    Case("255 methods, unfinished", [5, 255] + Array(repeating: 0, count: 254), sent: []),
    Case("no method", [5, 0], error: .noAcceptableMethod, answer: [5, 0xff]),
    Case("no method, and a request", [5, 0] + connect, error: .noAcceptableMethod, answer: [5, 0xff]),
    Case("GSSAPI alone", [5, 1, 1], error: .noAcceptableMethod, answer: [5, 0xff]),
    Case("the method that says none", [5, 1, 0xff], error: .noAcceptableMethod, answer: [5, 0xff]),
    // Bytes of other protocols.
    Case("TLS", [0x16, 3, 1, 0, 5], error: .unknownProtocol, answer: []),
    Case("STUN over TCP", [0, 1, 0, 0], error: .unknownProtocol, answer: []),
    Case("a line in small letters", Array("get / HTTP/1.1\r\n\r\n".utf8), error: .unknownProtocol, answer: []),
    Case("three", [3, 1, 0], error: .unknownProtocol, answer: []),
    Case("six", [6, 1, 0], error: .unknownProtocol, answer: []),
    // Unfinished conversations.
    Case("nothing", [], sent: []),
    Case("a version", [5], sent: []),
    Case("half of the methods", [5, 2, 0], sent: []),
    Case("a greeting", [5, 1, 0], sent: [5, 0]),
    Case("user/password awaited", [5, 1, 2], sent: [5, 2]),
    Case("half a user", [5, 1, 2, 1, 3, 0x75], sent: [5, 2]),
    Case("half a request", [5, 1, 0, 5, 1, 0, 3, 9, 0x61], sent: [5, 0]),
    Case("a request without its last byte", [5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0], sent: [5, 0]),
    // User and password (RFC 1929, section 2).
    Case(
        "empty user and password", [5, 1, 2, 1, 0, 0] + connect, sent: [5, 2, 1, 0],
        request: request(.connect, "1.2.3.4", 80, SocksCredentials(user: [], password: []))),
    Case(
        "the longest user and password", [5, 1, 2, 1, 255] + user255 + [255] + user255 + connect, sent: [5, 2, 1, 0],
        request: request(.connect, "1.2.3.4", 80, SocksCredentials(user: user255, password: user255))),
    Case(
        "any bytes as user", [5, 1, 2, 1, 2, 0, 0xc3, 0] + connect, sent: [5, 2, 1, 0],
        request: request(.connect, "1.2.3.4", 80, SocksCredentials(user: [0, 0xc3], password: []))),
    Case(
        "a wrong version of user/password", [5, 1, 2, 5, 1, 0x75, 1, 0x70], sent: [5, 2],
        error: .badAuthenticationVersion(5), answer: [1, 1]),
    Case(
        "a request in place of user/password", [5, 1, 2] + connect, sent: [5, 2], error: .badAuthenticationVersion(5),
        answer: [1, 1]),
    // Requests (RFC 1928, sections 4 and 5).
    Case(
        "IPv4", [5, 1, 0, 5, 1, 0, 1, 255, 254, 1, 0, 0xff, 0xff], sent: [5, 0],
        request: request(.connect, "255.254.1.0", 65_535)),
    Case(
        "IPv6", [5, 1, 0, 5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0x12, 0x34],
        sent: [5, 0],
        request: request(.connect, "2001:db8::1:2", 0x1234)),
    Case(
        "IPv4 as mapped IPv6", [5, 1, 0, 5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4, 0, 80],
        sent: [5, 0], request: connected),
    Case("a name", named("a.example"), sent: [5, 0], request: request(.connect, "a.example", 443)),
    Case("a name of one letter", named("a"), sent: [5, 0], request: request(.connect, "a", 443)),
    Case(
        "a name in capitals, with a final dot", named("A.Example."), sent: [5, 0],
        request: request(.connect, "a.example", 443)),
    Case(
        "a name with many dots", named("a.b.c.d.e.f.snode"), sent: [5, 0],
        request: request(.connect, "a.b.c.d.e.f.snode", 443)),
    Case("an onion name", named("\(long63).onion"), sent: [5, 0], request: request(.connect, "\(long63).onion", 443)),
    Case(
        "a name in ASCII form", named("xn--bcher-kva.example"), sent: [5, 0],
        request: request(.connect, "xn--bcher-kva.example", 443)),
    Case("the longest name", named(long253), sent: [5, 0], request: request(.connect, long253, 443)),
    Case(
        "the longest name, with a final dot", named(long253 + "."), sent: [5, 0],
        request: request(.connect, long253, 443)),
    Case("a name that is IPv4", named("1.2.3.4"), sent: [5, 0], request: request(.connect, "1.2.3.4", 443)),
    Case("a name that is IPv6", named("2001:db8::1"), sent: [5, 0], request: request(.connect, "2001:db8::1", 443)),
    Case("a name that is IPv6 in brackets", named("[::1]"), sent: [5, 0], request: request(.connect, "::1", 443)),
    Case(
        "a name that is IPv4 mapped to IPv6 in brackets", named("[::ffff:1.2.3.4]"), sent: [5, 0],
        request: request(.connect, "1.2.3.4", 443)),
    Case(
        "a name that is mapped IPv4", named("::ffff:127.0.0.1"), sent: [5, 0],
        request: request(.connect, "127.0.0.1", 443)),
    Case("an empty name", named(""), sent: [5, 0], error: .badName, answer: general),
    Case("a name of 255 bytes", named(long253 + "cd"), sent: [5, 0], error: .badName, answer: general),
    Case("a name of 254 bytes", named(long253 + "c"), sent: [5, 0], error: .badName, answer: general),
    Case("a label of 64 bytes", named(long63 + "a"), sent: [5, 0], error: .badName, answer: general),
    Case("a name with NUL", named([0x61, 0, 0x62]), sent: [5, 0], error: .badName, answer: general),
    Case("a name with NUL at its end", named("a.example\0"), sent: [5, 0], error: .badName, answer: general),
    Case("a name that is not ASCII", named("bücher.example"), sent: [5, 0], error: .badName, answer: general),
    Case("a name that is not text", named([0xff, 0xfe]), sent: [5, 0], error: .badName, answer: general),
    Case("a name with a line break", named("a\r\nb"), sent: [5, 0], error: .badName, answer: general),
    Case("a name with a space", named("a b"), sent: [5, 0], error: .badName, answer: general),
    Case("a name with an empty label", named("a..b"), sent: [5, 0], error: .badName, answer: general),
    Case("a name that begins with a dot", named(".a"), sent: [5, 0], error: .badName, answer: general),
    Case("a dot", named("."), sent: [5, 0], error: .badName, answer: general),
    Case("a short form of IPv4", named("127.1"), sent: [5, 0], error: .badName, answer: general),
    Case("IPv4 as a number", named("2130706433"), sent: [5, 0], error: .badName, answer: general),
    Case("IPv4 in octal", named("0177.0.0.1"), sent: [5, 0], error: .badName, answer: general),
    Case("IPv4 in hexadecimal", named("0x7f000001"), sent: [5, 0], error: .badName, answer: general),
    Case("IPv6 with a zone", named("fe80::1%eth0"), sent: [5, 0], error: .badName, answer: general),
    Case("IPv4 in brackets", named("[1.2.3.4]"), sent: [5, 0], error: .badName, answer: general),
    Case("a name with a port", named("a.example:80"), sent: [5, 0], error: .badName, answer: general),
    Case("port 0", [5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0, 0], sent: [5, 0], error: .badPort, answer: general),
    Case("port 0 of a name", [5, 1, 0, 5, 1, 0, 3, 1, 0x61, 0, 0], sent: [5, 0], error: .badPort, answer: general),
    Case(
        "a wrong version of the request", [5, 1, 0, 4, 1, 0, 1], sent: [5, 0], error: .badRequestVersion(4),
        answer: general),
    Case("a greeting twice", [5, 1, 0, 5, 1, 0, 5, 1], sent: [5, 0], error: .unknownAddressType(5), answer: noType),
    Case("a wrong reserved byte", [5, 1, 0, 5, 1, 1, 1], sent: [5, 0], error: .badReservedByte(1), answer: general),
    Case("command 0", [5, 1, 0, 5, 0], sent: [5, 0], error: .unknownCommand(0), answer: noCommand),
    Case("command 4", [5, 1, 0, 5, 4, 0, 1], sent: [5, 0], error: .unknownCommand(4), answer: noCommand),
    Case("command 255", [5, 1, 0, 5, 255, 0, 1], sent: [5, 0], error: .unknownCommand(255), answer: noCommand),
    Case("address type 0", [5, 1, 0, 5, 1, 0, 0], sent: [5, 0], error: .unknownAddressType(0), answer: noType),
    Case("address type 2", [5, 1, 0, 5, 1, 0, 2], sent: [5, 0], error: .unknownAddressType(2), answer: noType),
    Case("address type 255", [5, 1, 0, 5, 1, 0, 255], sent: [5, 0], error: .unknownAddressType(255), answer: noType),
    Case("BIND", [5, 1, 0, 5, 2, 0, 1, 1, 2, 3, 4, 0, 0], sent: [5, 0], request: request(.bind, "1.2.3.4", 0)),
    Case(
        "UDP ASSOCIATE", [5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0], sent: [5, 0],
        request: request(.udpAssociate, "0.0.0.0", 0)),
    Case("RESOLVE", named("a.example", command: 0xf0), sent: [5, 0], request: request(.resolve, "a.example", 443)),
    Case(
        "RESOLVE_PTR", [5, 1, 0, 5, 0xf1, 0, 1, 1, 2, 3, 4, 0, 0], sent: [5, 0],
        request: request(.resolvePointer, "1.2.3.4", 0)),
    Case(
        "RESOLVE_PTR of a name that is an address", named("::1", command: 0xf1), sent: [5, 0],
        request: request(.resolvePointer, "::1", 443)),
    Case(
        "RESOLVE_PTR of a name", named("a.example", command: 0xf1), sent: [5, 0], error: .wrongAddressType,
        answer: noType),
    // Early data.
    Case("early data", [5, 1, 0] + connect + [1, 2, 3], sent: [5, 0], request: connected, early: [1, 2, 3]),
    Case(
        "early data that looks like a greeting", [5, 1, 0] + connect + [5, 1, 0], sent: [5, 0], request: connected,
        early: [5, 1, 0]),
    Case(
        "early data longer than any message", [5, 1, 0] + connect + Array(repeating: 7, count: 2_000), sent: [5, 0],
        request: connected, early: Array(repeating: 7, count: 2_000)),
    Case(
        "early data behind user and password", [5, 1, 2, 1, 1, 0x75, 1, 0x70] + connect + [9], sent: [5, 2, 1, 0],
        request: request(.connect, "1.2.3.4", 80, SocksCredentials(user: [0x75], password: [0x70])), early: [9]),
]

@Suite("L7, L9: what an app says in SOCKS5") struct SocksHandshakeTests {
    @Test(arguments: cases) func everyConversation(_ row: Case) { check(row) }

    @Test func repliesComeAtTheirTurn() {
        var handshake = SocksHandshake()
        #expect(receive([5, 1], &handshake) == .wait(send: []))
        #expect(receive([2], &handshake) == .wait(send: [5, 2]))
        #expect(receive([1, 1, 0x75], &handshake) == .wait(send: []))
        #expect(receive([0], &handshake) == .wait(send: [1, 0]))
        let credentials = SocksCredentials(user: [0x75], password: [])
        #expect(
            receive(connect, &handshake)
                == .request(request(.connect, "1.2.3.4", 80, credentials), send: []))
        #expect(receive([1, 2], &handshake) == .wait(send: []))
        #expect(receive([3], &handshake) == .wait(send: []))
        #expect(handshake.takeEarlyData() == [1, 2, 3])
    }

    @Test func earlyDataIsBounded() {
        let input = [5, 1, 0] + connect
        #expect(feed([input + [1, 2, 3, 4]], limit: 4).early == [1, 2, 3, 4])
        #expect(feed([input + [1, 2], [3, 4]], limit: 4).early == [1, 2, 3, 4])
        #expect(feed([input + [1, 2, 3, 4, 5]], limit: 4).error == .tooMuchEarlyData)
        #expect(feed([input + [1, 2], [3, 4, 5]], limit: 4).error == .tooMuchEarlyData)
        #expect(feed([input], limit: 0).request == connected)
        #expect(feed([input, [1]], limit: 0).error == .tooMuchEarlyData)
        for via in ProxyProtocol.allCases { #expect(SocksError.tooMuchEarlyData.answer(via: via).isEmpty) }
    }

    @Test("L9: who hands over no more than there is room for loses nothing, however much is sent ahead")
    func roomForEarlyData() {
        let limit = 600
        for credentials: [UInt8] in [[5, 1, 0], [5, 1, 2, 1, 1, 0x75, 1, 0x70]] {
            let input = credentials + connect + (0..<2_000).map { UInt8($0 % 251) }
            for pieceSize in [1, 7, 600, 5_000] {
                var handshake = SocksHandshake(earlyDataLimit: limit)
                var rest = input[...]
                while handshake.room > 0 {
                    let piece = rest.prefix(min(pieceSize, handshake.room))
                    if case .refuse = receive(Array(piece), &handshake) { Issue.record("refused with room") }
                    rest = rest.dropFirst(piece.count)
                }
                let early = handshake.takeEarlyData()
                #expect(early.count == limit && handshake.room == 0)
                #expect(early + rest == input.dropFirst(credentials.count + connect.count))
            }
        }
    }

    @Test func anErrorStays() {
        var handshake = SocksHandshake()
        for bytes: [UInt8] in [[3], [5, 1, 0], connect, []] {
            #expect(receive(bytes, &handshake) == .refuse(.unknownProtocol, send: []))
        }
    }

    @Test(arguments: [UInt64(1), 2, 3, 4]) func arbitraryBytesInArbitraryPieces(seed: UInt64) {
        checkMutations(of: cases, seed: seed, rounds: 500) { UInt8($0 % 6) }
    }
}

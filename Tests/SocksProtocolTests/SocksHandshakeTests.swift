import SocksProtocol
import Testing
import Wire

/// What became of a conversation: all that was sent, and how it ended.
private struct Outcome: Equatable {
    var sent: [UInt8] = []
    var request: SocksRequest?
    var early: [UInt8] = []
    var error: SocksError?
}

/// What a client says and what is to become of it.
private struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let input: [UInt8]
    let outcome: Outcome

    init(_ name: String, _ input: [UInt8], sent: [UInt8], request: SocksRequest? = nil, early: [UInt8] = []) {
        self.testDescription = name
        self.input = input
        self.outcome = Outcome(sent: sent, request: request, early: early)
    }

    /// `sent` is without the error's own answer, `answer`.
    init(_ name: String, _ input: [UInt8], sent: [UInt8] = [], error: SocksError, answer: [UInt8]) {
        self.testDescription = name
        self.input = input
        self.outcome = Outcome(sent: sent + answer, error: error)
    }
}

private func receive(_ bytes: [UInt8], _ handshake: inout SocksHandshake) -> SocksHandshake.Action {
    unsafe handshake.receive(bytes.span.bytes)
}

private func feed(_ pieces: [[UInt8]], limit: Int = 65_536) -> Outcome {
    var handshake = SocksHandshake(earlyDataLimit: limit)
    var outcome = Outcome()
    for piece in pieces {
        switch receive(piece, &handshake) {
        case .wait(let send): outcome.sent += send
        case .request(let request, let send):
            outcome.sent += send
            #expect(outcome.request == nil, "one request per connection")
            outcome.request = request
        case .refuse(let error, let send):
            outcome.sent += send
            #expect(outcome.error == nil || outcome.error == error && send.isEmpty, "one refusal per connection")
            outcome.error = error
        }
    }
    if outcome.error != nil { outcome.request = nil }
    if outcome.request != nil { outcome.early = handshake.takeEarlyData() }
    return outcome
}

private func request(
    _ command: SocksRequest.Command, _ host: String, _ port: UInt16, _ credentials: SocksCredentials? = nil
) -> SocksRequest {
    let address = IPAddress(host)
    let host: Destination.Host = address.map { .address($0) } ?? .name(HostName(host)!)
    return SocksRequest(
        command: command, destination: Destination(host: host, port: port), credentials: credentials)
}

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
    // What is not SOCKS5.
    Case("SOCKS4", [4, 1, 0, 80, 1, 2, 3, 4, 0], error: .notSocks, answer: []),
    Case("an HTTP request", Array("GET / HTTP/1.1\r\n\r\n".utf8), error: .notSocks, answer: []),
    Case("an HTTP POST with SOCKS inside", Array("POST".utf8) + [5, 1, 0] + connect, error: .notSocks, answer: []),
    Case("TLS", [0x16, 3, 1, 0, 5], error: .notSocks, answer: []),
    Case("zero", [0], error: .notSocks, answer: []),
    Case("six", [6, 1, 0], error: .notSocks, answer: []),
    // Unfinished.
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

@Suite struct SocksHandshakeTests {
    @Test(arguments: cases) fileprivate func wholeInput(_ row: Case) {
        #expect(feed([row.input]) == row.outcome)
    }

    @Test(arguments: cases) fileprivate func byteByByte(_ row: Case) {
        #expect(feed(row.input.map { [$0] }) == row.outcome)
    }

    @Test(arguments: cases) fileprivate func splitAtEveryPoint(_ row: Case) {
        for point in row.input.indices {
            #expect(feed([Array(row.input[..<point]), Array(row.input[point...])]) == row.outcome, "split at \(point)")
        }
    }

    @Test(arguments: cases) fileprivate func emptyReadsBetween(_ row: Case) {
        #expect(feed(row.input.flatMap { [[], [$0]] } + [[]]) == row.outcome)
    }

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
        #expect(SocksError.tooMuchEarlyData.answer.isEmpty)
    }

    @Test func anErrorStays() {
        var handshake = SocksHandshake()
        for bytes: [UInt8] in [[4], [5, 1, 0], connect, []] {
            #expect(receive(bytes, &handshake) == .refuse(.notSocks, send: []))
        }
    }

    @Test(arguments: [UInt64(1), 2, 3, 4]) func arbitraryBytesInArbitraryPieces(seed: UInt64) {
        var state = seed &* 0x9e37_79b9_7f4a_7c15
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for _ in 0..<500 {
            // A conversation from the table with a few bytes changed.
            var input = cases[next(cases.count)].input
            for _ in 0..<next(4) where !input.isEmpty {
                input[next(input.count)] = UInt8(next(2) == 0 ? next(256) : next(6))
            }
            var pieces: [[UInt8]] = []
            var rest = input[...]
            while !rest.isEmpty {
                let count = min(rest.count, 1 + next(20))
                pieces.append(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            #expect(feed(pieces) == feed([input]), "seed \(seed)")
        }
    }
}

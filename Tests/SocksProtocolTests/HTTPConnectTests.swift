import SocksProtocol
import Testing
import Wire

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// An HTTP head of these lines.
private func head(_ lines: String...) -> [UInt8] { bytes(lines.map { $0 + "\r\n" }.joined() + "\r\n") }

private func connect(_ target: String, _ fields: String...) -> [UInt8] {
    bytes((["CONNECT \(target) HTTP/1.1", "Host: \(target)"] + fields).map { $0 + "\r\n" }.joined() + "\r\n")
}

private func wanted(_ host: String, _ port: UInt16, _ credentials: SocksCredentials? = nil) -> SocksRequest {
    request(.connect, host, port, credentials, via: .http)
}

private func pair(_ user: String, _ password: String) -> SocksCredentials {
    SocksCredentials(user: bytes(user), password: bytes(password))
}

private let badRequest = SocksError.badHead.answer(via: .http)
private let notAllowed = SocksError.notConnect(isHead: false).answer(via: .http)
private let notAllowedHead = SocksError.notConnect(isHead: true).answer(via: .http)
private let credentialsNeeded = SocksError.badCredentials(isHead: false).answer(via: .http)
private let long = String(repeating: "x", count: 8_000)

private func bad(_ name: String, _ input: [UInt8], _ error: SocksError = .badHead) -> Case {
    Case(name, input, error: error, answer: badRequest)
}

private func unreadable(_ name: String, _ input: [UInt8]) -> Case {
    Case(name, input, error: .badCredentials(isHead: false), answer: credentialsNeeded)
}

private func refused(_ name: String, _ input: [UInt8]) -> Case {
    Case(name, input, error: .notConnect(isHead: false), answer: notAllowed)
}

private let cases: [Case] = [
    // Requested destinations.
    Case("a name", connect("a.example:443"), sent: [], request: wanted("a.example", 443)),
    Case("a name in capitals, with a final dot", connect("A.Example.:80"), sent: [], request: wanted("a.example", 80)),
    Case("IPv4", connect("1.2.3.4:65535"), sent: [], request: wanted("1.2.3.4", 65_535)),
    Case("IPv6", connect("[2001:db8::1]:1"), sent: [], request: wanted("2001:db8::1", 1)),
    Case("HTTP/1.0 without Host", head("CONNECT a.example:22 HTTP/1.0"), sent: [], request: wanted("a.example", 22)),
    Case(
        "other fields", connect("a.example:443", "User-Agent: x", "Proxy-Connection: Keep-Alive", "Content-Length: 0"),
        sent: [], request: wanted("a.example", 443)),
    Case(
        "another Host", head("CONNECT a.example:443 HTTP/1.1", "HOST:\tb.example \t"), sent: [],
        request: wanted("a.example", 443)),
    Case(
        "text in a field that is not ASCII", connect("a.example:443", "X: bücher"), sent: [],
        request: wanted("a.example", 443)),
    // User and password (RFC 7617).
    Case(
        "Basic", connect("a.example:443", "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), sent: [],
        request: wanted("a.example", 443, pair("Aladdin", "open sesame"))),
    Case(
        "Basic in other letters", connect("a.example:443", "proxy-authorization:  bASIC  dTpw "), sent: [],
        request: wanted("a.example", 443, pair("u", "p"))),
    Case(
        "an empty pair", connect("a.example:443", "Proxy-Authorization: Basic Og=="), sent: [],
        request: wanted("a.example", 443, pair("", ""))),
    Case(
        "colons in the password", connect("a.example:443", "Proxy-Authorization: Basic dTo6OjA="), sent: [],
        request: wanted("a.example", 443, pair("u", "::0"))),
    Case(
        "any bytes", connect("a.example:443", "Proxy-Authorization: Basic /+86AA=="), sent: [],
        request: wanted("a.example", 443, SocksCredentials(user: [0xff, 0xef], password: [0]))),
    unreadable("Basic without a colon", connect("a.example:443", "Proxy-Authorization: Basic dXVw")),
    unreadable("Basic with half a group", connect("a.example:443", "Proxy-Authorization: Basic dTp")),
    unreadable("Basic with other letters", connect("a.example:443", "Proxy-Authorization: Basic dT-w")),
    unreadable("Basic of padding", connect("a.example:443", "Proxy-Authorization: Basic ====")),
    unreadable("Basic of nothing", connect("a.example:443", "Proxy-Authorization: Basic")),
    unreadable("another scheme", connect("a.example:443", "Proxy-Authorization: Bearer dTpw")),
    unreadable("no value", connect("a.example:443", "Proxy-Authorization:")),
    Case(
        "another scheme in a HEAD",
        head("HEAD http://a.example/ HTTP/1.1", "Host: a.example", "Proxy-Authorization: Negotiate YII="),
        error: .badCredentials(isHead: true), answer: SocksError.badCredentials(isHead: true).answer(via: .http)),
    refused(
        "another scheme in a request for a page",
        head("GET / HTTP/1.1", "Host: x", "Proxy-Authorization: NTLM TlR")),
    bad(
        "two pairs",
        connect("a.example:443", "Proxy-Authorization: Basic dTpw", "Proxy-Authorization: Basic dTpw")),
    // Targets.
    bad("no port", connect("a.example")),
    bad("an empty port", connect("a.example:"), .badPort),
    bad("port 0", connect("a.example:0"), .badPort),
    bad("port 65536", connect("a.example:65536"), .badPort),
    bad("a port of six digits", connect("a.example:000443"), .badPort),
    bad("a port with a sign", connect("a.example:+443"), .badPort),
    bad("no host", connect(":443"), .badName),
    bad("a user in the target", connect("u@a.example:443"), .badName),
    bad("a path behind the target", connect("a.example:443/"), .badPort),
    bad("a whole URL", connect("http://a.example:443"), .badName),
    bad("IPv6 without brackets", connect("2001:db8::1:443"), .badName),
    bad("IPv6 with a zone", connect("[fe80::1%25eth0]:443"), .badName),
    bad("IPv4 in brackets", connect("[1.2.3.4]:443"), .badName),
    bad("a short form of IPv4", connect("127.1:443"), .badName),
    bad("a name that is not ASCII", connect("bücher.example:443"), .badName),
    // Heads.
    bad("HTTP/1.1 without Host", head("CONNECT a.example:443 HTTP/1.1")),
    bad("two Hosts", connect("a.example:443", "Host: a.example")),
    bad("a body", connect("a.example:443", "Content-Length: 5")),
    bad("two lengths", connect("a.example:443", "Content-Length: 0", "Content-Length: 1")),
    bad("a body in pieces", connect("a.example:443", "Transfer-Encoding: chunked")),
    bad("a space before the colon", connect("a.example:443", "X : y")),
    bad("a folded line", connect("a.example:443", "X: y", " z")),
    bad("a field without a name", connect("a.example:443", ": y")),
    bad("a field without a colon", connect("a.example:443", "X")),
    bad("one word", head("CONNECT")),
    bad("two words", head("CONNECT a.example:443")),
    bad("four words", head("CONNECT a.example:443 x HTTP/1.1")),
    bad("two spaces", head("CONNECT  a.example:443 HTTP/1.1")),
    bad("a method that is no token", head("CONN(ECT a.example:443 HTTP/1.0")),
    bad("HTTP/2", bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    bad("a version that is none", head("CONNECT a.example:443 HTTP/1.x")),
    bad("a line feed alone", bytes("CONNECT a.example:443 HTTP/1.0\n\n")),
    bad("a line feed alone, at once", bytes("CONNECT a.example:443 HTTP/1.0\n")),
    bad("a carriage return alone", bytes("CONNECT a.example:443 HTTP/1.0\rX")),
    bad("NUL", bytes("CONNECT a.example\0:443")),
    bad("SOCKS behind a letter", bytes("POST") + [5, 1, 0, 5, 1, 0, 1, 1, 2, 3, 4, 0, 80]),
    bad("SSH", bytes("SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    Case(
        "the longest head", connect("a.example:443", "X: " + String(repeating: "x", count: 16_384 - 60)), sent: [],
        request: wanted("a.example", 443)),
    bad("a longer head", connect("a.example:443", "X: " + String(repeating: "x", count: 16_384 - 59)), .headTooLong),
    bad("a head without end", bytes("GET /\(long)\(long)\(long)"), .headTooLong),
    Case("a head unfinished", connect("a.example:443").dropLast(), sent: []),
    Case("a letter", bytes("C"), sent: []),
    // Other methods have no effect, with any target and fields.
    refused("a page", head("GET / HTTP/1.1", "Host: 127.0.0.1:1080")),
    refused("a page from a name that leads here", head("GET / HTTP/1.1", "Host: evil.example:1080")),
    refused("a page of another scheme through the proxy", head("GET https://a.example/ HTTP/1.1", "Host: a.example")),
    refused("a page by HTTP/1.0", head("GET / HTTP/1.0")),
    refused(
        "a form with CONNECT in it",
        head("POST / HTTP/1.1", "Host: localhost", "Content-Length: 64") + connect("a.example:443")),
    refused("a request behind a request", head("GET / HTTP/1.1") + connect("a.example:443")),
    refused("CONNECT in small letters", head("Connect a.example:443 HTTP/1.0")),
    refused("a longer method", head("CONNECTS a.example:443 HTTP/1.0")),
    refused("a preflight", head("OPTIONS / HTTP/1.1", "Origin: https://evil.example")),
    refused(
        "a web socket",
        head("GET / HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket")),
    Case("HEAD", head("HEAD / HTTP/1.1"), error: .notConnect(isHead: true), answer: notAllowedHead),
    // Early data.
    Case(
        "early data", connect("a.example:443") + [0x16, 3, 1], sent: [], request: wanted("a.example", 443),
        early: [0x16, 3, 1]),
    Case(
        "early data that looks like a head", connect("a.example:80") + head("GET / HTTP/1.1"), sent: [],
        request: wanted("a.example", 80), early: head("GET / HTTP/1.1")),
    Case(
        "early data longer than a head", connect("a.example:443") + Array(repeating: 7, count: 9_000), sent: [],
        request: wanted("a.example", 443), early: Array(repeating: 7, count: 9_000)),
]

@Suite("L2, L7: what an app says in HTTP") struct HTTPConnectTests {
    @Test(arguments: cases) func everyConversation(_ row: Case) { check(row) }

    @Test(arguments: [UInt64(1), 2]) func arbitraryBytesInArbitraryPieces(seed: UInt64) {
        checkMutations(of: cases.filter { $0.input.count < 1_000 }, seed: seed, rounds: 500) {
            bytes("\r\n :/[]=\tCH0")[$0 % 12]
        }
    }

    @Test(
        arguments: [
            (.succeeded, 200), (.generalFailure, 502), (.notAllowed, 403), (.networkUnreachable, 502),
            (.hostUnreachable, 502), (.connectionRefused, 502), (.ttlExpired, 504), (.commandNotSupported, 405),
            (.addressTypeNotSupported, 400),
        ] as [(SocksReply, Int)])
    func statusOfEveryReply(reply: SocksReply, status: Int) {
        let answer = String(decoding: reply.encoded(via: .http), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
        #expect(answer.contains("Connection: close\r\n") == (status != 200))
    }

    @Test func theAnswersInFull() {
        let established = String(decoding: SocksReply.succeeded.encoded(via: .http), as: UTF8.self)
        #expect(established == "HTTP/1.1 200 Connection established\r\n\r\n")
        let page = String(decoding: notAllowed, as: UTF8.self)
        let text = page.components(after: "\r\n\r\n")
        #expect(
            page == """
                HTTP/1.1 405 Method Not Allowed\r
                Allow: CONNECT\r
                Content-Type: text/plain; charset=utf-8\r
                Content-Length: \(text.utf8.count)\r
                Cache-Control: no-store\r
                X-Content-Type-Options: nosniff\r
                Connection: close\r
                \r
                \(text)
                """)
        #expect(text.contains("SOCKS") && text.contains("CONNECT"))
        #expect(page == String(decoding: notAllowedHead, as: UTF8.self) + text)
    }

    @Test("L6: credentials that cannot be read get 407 with the scheme that can (RFC 9110, section 11.7.1)")
    func theAnswerToUnreadableCredentials() {
        let page = String(decoding: credentialsNeeded, as: UTF8.self)
        #expect(page.hasPrefix("HTTP/1.1 407 Proxy Authentication Required\r\n"))
        #expect(page.contains("\r\nProxy-Authenticate: Basic realm=\"Tunic\", charset=\"UTF-8\"\r\n"))
        #expect(page.contains("\r\nConnection: close\r\n"))
        let ofHead = String(decoding: SocksError.badCredentials(isHead: true).answer(via: .http), as: UTF8.self)
        #expect(page == ofHead + page.components(after: "\r\n\r\n") && page != ofHead)
    }
}

extension String {
    /// The text after the first `separator`.
    fileprivate func components(after separator: String) -> String {
        let bytes = Array(utf8)
        let mark = Array(separator.utf8)
        let start = bytes.indices.first { bytes[$0...].starts(with: mark) } ?? bytes.count
        return String(decoding: bytes.dropFirst(start + mark.count), as: UTF8.self)
    }
}

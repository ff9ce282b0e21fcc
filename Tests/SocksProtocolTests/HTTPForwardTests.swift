import SocksProtocol
import Testing
import Wire

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// The request with these lines and the head that the server gets, or the error.
private func forwarded(_ lines: [String], behind: String = "") -> Result<(SocksRequest, [UInt8], [UInt8]), SocksError> {
    let outcome = feed([bytes(lines.map { $0 + "\r\n" }.joined() + "\r\n" + behind)])
    if let error = outcome.error { return .failure(error) }
    guard let request = outcome.request, let head = request.forward?.head else {
        return .failure(.notConnect(isHead: false))
    }
    return .success((request, head, outcome.early))
}

private func head(_ lines: String...) -> String? {
    guard case .success(let (_, head, _)) = forwarded(lines) else { return nil }
    return String(decoding: head, as: UTF8.self)
}

/// The number of bytes of `text` that are taken in pieces of `size`; nil if `text` is not a valid body.
private func taken(_ text: String, in size: Int, of body: HTTPBody) -> (count: Int, isDone: Bool)? {
    var body = body
    var count = 0
    var rest = bytes(text)[...]
    while !rest.isEmpty {
        let piece = Array(rest.prefix(size))
        guard let found = try? unsafe body.take(piece.span.bytes) else { return nil }
        count += found
        if found < piece.count { return (count, body.isDone) }
        rest = rest.dropFirst(size)
    }
    return (count, body.isDone)
}

private func body(_ fields: String...) -> HTTPBody? {
    guard
        case .success(let (request, _, _)) = forwarded(["POST http://a.example/ HTTP/1.1", "Host: a.example"] + fields)
    else { return nil }
    return request.forward?.body
}

/// Requests for http: URLs through the proxy.
@Suite struct HTTPForwardTests {
    @Test(
        "L2: no character outside of ASCII stands for a letter",
        arguments: ["\u{212A}", "\u{17F}", "K\u{301}", "\u{FF4B}"])
    func lettersOfASCIIAlone(letter: String) {
        #expect(body("Transfer-Encoding: chun\(letter)ed") == nil)
        #expect(body("Transfer-Encoding: chunked") == HTTPForwardTests.chunked)
        #expect(body("Transfer-Encoding: CHUNKED") == HTTPForwardTests.chunked)
        let first = "GET http://a.example/ HTTP/1.1"
        #expect(head(first, "Host: a.example", "Connection: \(letter)eep-alive") == nil)
        #expect(head(first, "Host: a.example", "Coo\(letter)ie: a") == nil)
        #expect(head(first, "Ho\(letter)t: a.example") == nil)
        #expect(head(first, "Host: a.example", "Proxy-Authorization: Ba\(letter)ic dTpw") == nil)
        #expect(head(first, "Host: a.example", "Proxy-Authorization: bASIC dTpw") != nil)
    }

    /// The body of a request with chunked transfer coding.
    private static var chunked: HTTPBody? { body("transfer-encoding: chunked") }

    @Test("U1: empty elements of Connection are no fault (RFC 9110, section 5.6.1)")
    func emptyElements() {
        for value in ["close, ", "close, , x", ",close"] {
            #expect(head("GET http://a.example/ HTTP/1.1", "Host: a.example", "Connection: \(value)") != nil)
        }
    }

    @Test("U1: the server gets the path, its own name as Host, and none of the fields that are the proxy's")
    func theHead() throws {
        let found = head(
            "GET http://a.example:8080/x?y=1 HTTP/1.1", "Host: other.example", "User-Agent: u",
            "Proxy-Connection: keep-alive",
            "Connection: Keep-Alive, X-Hop", "Keep-Alive: 5", "x-hop: 1", "TE: trailers", "Upgrade: websocket",
            "Proxy-Authorization: Basic dTpw", "Cookie: a=b; c", "Accept:*/*", "Expect: 100-continue")
        #expect(
            found == """
                GET /x?y=1 HTTP/1.1\r
                Host: a.example:8080\r
                User-Agent: u\r
                Cookie: a=b; c\r
                Accept:*/*\r
                Expect: 100-continue\r
                Connection: close\r
                \r

                """)
        let (request, _, early) = try forwarded(
            ["GET HTTP://A.example HTTP/1.1", "Host: x", "Proxy-Authorization: Basic dTpw"], behind: "xyz"
        ).get()
        #expect(request.destination == Destination(host: .name(HostName("a.example")!), port: 80))
        #expect(request.credentials?.user == bytes("u") && request.via == .http && request.command == .connect)
        #expect(request.established.isEmpty)
        #expect(early == bytes("xyz"))
        #expect(request.forward?.body.isDone == true, "what is behind a request without a body is not the server's")
    }

    @Test(
        "targets",
        arguments: [
            ("http://a.example", "GET / ", "a.example"), ("http://a.example?q", "GET /?q ", "a.example"),
            ("http://[2001:db8::1]/", "GET / ", "[2001:db8::1]"),
            ("http://[2001:db8::1]:81/", "GET / ", "[2001:db8::1]:81"),
            ("hTTp://1.2.3.4:5/a//b/../", "GET /a//b/../ ", "1.2.3.4:5"),
        ])
    func targets(target: String, line: String, host: String) {
        let found = head("GET \(target) HTTP/1.0")
        #expect(found == "\(line)HTTP/1.0\r\nHost: \(host)\r\nConnection: close\r\n\r\n")
        #expect(head("OPTIONS http://a.example HTTP/1.0")?.hasPrefix("OPTIONS * HTTP/1.0\r\n") == true)
    }

    @Test(
        "what could be read in two ways, or names nobody, is refused",
        arguments: [
            ["GET http:// HTTP/1.0"], ["GET http://:80/ HTTP/1.0"], ["GET http://u@a.example/ HTTP/1.0"],
            ["GET http://u:p@a.example/ HTTP/1.0"], ["GET http://a.example:/ HTTP/1.0"],
            ["GET http://a.example:0/ HTTP/1.0"],
            ["GET http://a.example:65536/ HTTP/1.0"], ["GET http://a.example/#x HTTP/1.0"],
            ["GET http://a.example/\tx HTTP/1.0"],
            ["GET http://a_b\\c/ HTTP/1.0"],
            ["GET http://2001:db8::1/ HTTP/1.0"], ["GET http://127.1/ HTTP/1.0"], ["GET http://a.example/ HTTP/1.1"],
            ["GET http://a.example/ HTTP/1.1", "Host: a", "Host: a"],
            ["POST http://a.example/ HTTP/1.0", "Content-Length: 1", "Content-Length: 1"],
            ["POST http://a.example/ HTTP/1.0", "Content-Length: 1, 1"],
            ["POST http://a.example/ HTTP/1.0", "Content-Length: +1"],
            ["POST http://a.example/ HTTP/1.0", "Content-Length: "],
            ["POST http://a.example/ HTTP/1.0", "Content-Length: 0x1"],
            ["POST http://a.example/ HTTP/1.0", "Content-Length: 1234567890123456789"],
            ["POST http://a.example/ HTTP/1.1", "Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"],
            ["POST http://a.example/ HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"],
            ["POST http://a.example/ HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["POST http://a.example/ HTTP/1.1", "Host: a", "Transfer-Encoding: xchunked"],
            ["POST http://a.example/ HTTP/1.0", "Transfer-Encoding: chunked"],
            ["POST http://a.example/ HTTP/1.1", "Host: a", "Transfer-Encoding : chunked"],
            ["POST http://a.example/ HTTP/1.1", "Host: a", "X: y", " Transfer-Encoding: chunked"],
            ["POST http://a.example/ HTTP/1.1", "Host: a", "Connection: content-length", "Content-Length: 1"],
            ["POST http://a.example/ HTTP/1.1", "Host: a", "Connection: close, , Transfer-Encoding"],
        ])
    func refusals(lines: [String]) {
        guard case .failure(let error) = forwarded(lines) else {
            Issue.record("taken: \(lines)")
            return
        }
        #expect(error.answer(via: .http).starts(with: bytes("HTTP/1.1 400 ")))
    }

    @Test("a length ends the body, and what is behind it is not taken", arguments: [1, 2, 7, 100])
    func length(size: Int) throws {
        let found = taken("hello, worldGET / HTTP/1.1\r\n\r\n", in: size, of: try #require(body("Content-Length: 12")))
        #expect(found?.count == 12 && found?.isDone == true)
        let short = taken("hello", in: size, of: try #require(body("Content-Length: 12")))
        #expect(short?.count == 5 && short?.isDone == false)
    }

    @Test("pieces end the body, and what is behind them is not taken", arguments: [1, 2, 7, 100])
    func pieces(size: Int) throws {
        let pieces = try #require(body("transfer-encoding: Chunked"))
        for (text, isDone) in [
            ("5\r\nhello\r\n0\r\n\r\n", true), ("000A;x=\"y\"\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", true),
            ("0\r\nTrailer: x\r\nOther: y\r\n\r\n", true), ("5\r\nhel", false), ("ff", false),
        ] {
            let found = taken(text + (isDone ? "GET / HTTP/1.1\r\n" : ""), in: size, of: pieces)
            #expect(found?.count == text.utf8.count && found?.isDone == isDone, "\(text)")
        }
        let long = String(repeating: "x", count: 5_000)
        for text in [
            "\r\n", "g\r\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\nhello\r\n", "5\r\nhello!\r\n", "5\r\nhello\n",
            "5\r\rhello", "0000000000000005\r\nhello", "-1\r\n", "0\r\n x: y\r\n\r\n", "0\r\nx\r\r", "0\r\n\rx",
            "5;\(long)\r\n",
            "0\r\nx: \(long)\r\n\r\n", "5;a\u{1}\r\n",
        ] {
            #expect(taken(text, in: size, of: pieces) == nil, "\(text.prefix(20))")
        }
    }

    @Test("a HEAD that fails is answered without a body")
    func failures() throws {
        let (get, _, _) = try forwarded(["GET http://a.example/ HTTP/1.0"]).get()
        let (ask, _, _) = try forwarded(["HEAD http://a.example/ HTTP/1.0"]).get()
        let page = String(decoding: get.answer(.connectionRefused), as: UTF8.self)
        let answer = String(decoding: ask.answer(.connectionRefused), as: UTF8.self)
        #expect(
            page.hasPrefix("HTTP/1.1 502 ") && page.hasPrefix(answer) && answer.hasSuffix("\r\n\r\n") && page != answer)
    }

    @Test("conversations come to the same in pieces of every kind", arguments: [UInt64(3), 4])
    func arbitraryPieces(seed: UInt64) {
        let rows = [
            "GET http://a.example/ HTTP/1.1\r\nHost: b\r\nConnection: x\r\nX: y\r\n\r\n",
            "POST http://a.example:1/ HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n\r\nhello",
            "PUT http://[::1]/ HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ].map { Case("", bytes($0), sent: []) }
        checkMutations(of: rows, seed: seed, rounds: 300) { bytes("\r\n :/[]=\tCH0,")[$0 % 13] }
    }
}

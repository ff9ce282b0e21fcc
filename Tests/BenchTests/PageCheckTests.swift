import EventLoop
import Testing

@testable import Bench

@Test(
    arguments: [
        ("http://example.org", "example.org", 80, "/", "example.org"),
        ("HTTP://example.org:8080/a?b#c", "example.org", 8080, "/a?b", "example.org:8080"),
        ("https://[::1]/x", "::1", 443, "/x", "[::1]"),
        ("https://[2001:db8::1]:8443?q", "2001:db8::1", 8443, "/?q", nil),
        ("http://127.0.0.1:1/", "127.0.0.1", 1, "/", nil),
    ] as [(String, String, UInt16, String, String?)])
func anAddressHasItsParts(url: String, host: String, port: UInt16, path: String, authority: String?) throws {
    let address = try PageAddress(url)
    #expect(address.host == host)
    #expect(address.port == port)
    #expect(address.path == path)
    #expect(address.isSecure == (url.hasPrefix("https")))
    if let authority { #expect(address.authority == authority) }
}

@Test(
    arguments: [
        ("ftp://x", "http://"), ("example.org", "http://"), ("http://[::1", "[::1"),
        ("http://u:secret@x/", "user and password"),
        ("http://127.1/", "127.1"), ("http://b\u{fc}cher.example/", "xn--"), ("http://x:0/", "x:0"),
        ("http://x:+1/", "x:+1"), ("http://a b/", "spaces"), ("http://x:1:2/", "x:1:2"), ("http:///", "''"),
        ("http://x\u{7f}/", "control"),
    ])
func anAddressThatCannotBeCheckedIsNamed(url: String, words: String) {
    let fault = #expect(throws: CheckFault.self) { try PageAddress(url) }
    #expect(fault?.kind == .usage)
    #expect(fault?.message.contains(words) == true, "\(fault?.message ?? "")")
    #expect(fault?.message.contains("secret") == false)
}

@Test(
    arguments: [
        (["127.0.0.1:1"], [[]], true, "127.0.0.1:1"),
        (["127.0.0.1:1", "unix:/s"], [["no-credentials"], []], true, "unix:/s"),
        (["127.0.0.1:1", "unix:/s"], [["no-credentials"]], true, "unix:/s"),
        (["127.0.0.1:1", "[::1]:2"], [["names-only"], ["no-credentials"]], true, "[::1]:2"),
        (["127.0.0.1:1", "[::1]:2"], [["names-only"], ["no-credentials"]], false, "127.0.0.1:1"),
        (["systemd:a"], [], false, nil), ([], [], false, nil), (["127.0.0.1:1"], [["names-only"]], true, nil),
    ] as [([String], [[String]], Bool, String?)])
func aCheckComesInWhereItMay(addresses: [String], flags: [[String]], toAddress: Bool, endpoint: String?) {
    #expect((try? ProxyEndpoint(addresses, flags: flags, toAddress: toAddress))?.description == endpoint)
}

/// A proxy and the server behind it, which answers each message with the next of its answers.
///
/// An empty answer closes the connection. After the last answer the connection is shut down.
private final class Script: ByteStreamDelegate {
    private(set) var address = SocketAddress.loopbackIPv4(port: 0)
    private let answers: [[[UInt8]]]
    private var listener: StreamListener?
    private var streams: [ByteStream] = []
    private var next: [Int] = []
    /// The bytes received over each connection.
    private(set) var received: [[UInt8]] = []

    init(on loop: Loop, _ answers: [[[UInt8]]]) throws {
        self.answers = answers
        let listener = try StreamListener.tcp(on: loop, address: address) { [unowned self] stream in
            streams.append(stream)
            next.append(0)
            received.append([])
            stream.delegate = self
            stream.startReading()
        }
        self.listener = listener
        address = try #require(listener.localAddress)
    }

    func close() {
        for stream in streams { stream.close() }
        listener?.close()
    }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        guard let place = streams.firstIndex(where: { $0 === stream }) else { return }
        received[place] += unsafe bytes.withUnsafeBytes { unsafe Array($0) }
        guard place < answers.count, next[place] < answers[place].count else { return }
        let answer = answers[place][next[place]]
        next[place] += 1
        if answer.isEmpty { stream.close() } else { try? stream.write(answer) }
        if next[place] == answers[place].count { stream.shutdown() }
    }

    func streamReachedEnd(_ stream: ByteStream) {}
    func stream(_ stream: ByteStream, failed error: UVError) {}
}

/// A proxy's answers to a client with credentials and to the client's request.
private func accepted(_ reply: [UInt8] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]) -> [[UInt8]] { [[5, 2], [1, 0], reply] }

private func check(_ url: String, _ answers: [[[UInt8]]]) throws -> (Result<PageReport, CheckFault>, [[UInt8]]) {
    let loop = try Loop()
    let script = try Script(on: loop, answers)
    let page = try PageCheck(url)
    defer {
        page.close()
        script.close()
        loop.close()
    }
    do {
        return (
            .success(try page.run(on: loop, through: .tcp(script.address), user: "check", password: "pw")),
            script.received
        )
    } catch {
        return (.failure(error), script.received)
    }
}

private let page = Array("HTTP/1.1 200 OK\r\n\r\n192.0.2.7\n".utf8)

@Test func aPageIsFetchedAndMeasured() throws {
    let resolved = accepted([5, 0, 0, 1, 198, 51, 100, 9, 0, 0])
    let (result, received) = try check("http://site.example/x", [resolved, accepted() + [page]])
    let report = try result.get()
    #expect(report.address == "198.51.100.9")
    #expect(report.status == 200)
    #expect(report.exitAddress == "192.0.2.7")
    #expect(report.tls == nil)
    #expect(report.resolve != nil && report.firstByte != nil)
    let hello: [UInt8] = [5, 1, 2, 1, 5] + Array("check".utf8) + [2] + Array("pw".utf8)
    let name: [UInt8] = [3, 12] + Array("site.example".utf8)
    #expect(received[0] == hello + [5, 0xf0, 0] + name + [0, 0])
    let request = "GET /x HTTP/1.1\r\nHost: site.example\r\nUser-Agent: tunic\r\nConnection: close\r\n\r\n"
    #expect(received[1] == hello + [5, 1, 0] + name + [0, 80] + Array(request.utf8))
}

@Test func anAddressIsNotResolved() throws {
    let (result, received) = try check("http://[2001:db8::1]/", [accepted() + [page]])
    #expect(try result.get().address == nil)
    #expect(received.count == 1)
}

@Test func ofAnHttpsAddressTheFirstStepIsTaken() throws {
    let (result, received) = try check("https://192.0.2.1/", [accepted() + [[22, 3, 3, 0, 90, 2]]])
    #expect(try result.get().tls == true)
    #expect(received[0].dropFirst(13 + 10).prefix(3).elementsEqual([22, 3, 1]))
}

@Test(
    arguments: [
        ("http://192.0.2.1/", [[[5, 255]]], "is not a SOCKS5 proxy of Tunic"),
        ("http://192.0.2.1/", [[[5, 2], [1, 1]]], "does not take credentials"),
        ("http://192.0.2.1/", [[[5, 2], [1, 0], [5, 5, 0, 1, 0, 0, 0, 0, 0, 0]]], "192.0.2.1: connection refused"),
        ("http://192.0.2.1/", [[[5, 2], [1, 0], [5, 77, 0, 1, 0]]], "refused with code 77"),
        ("http://192.0.2.1/", [[[5, 2], []]], "the client gave no answer"),
        ("http://192.0.2.1/", [accepted() + [[]]], "192.0.2.1 closed the connection without an answer"),
        ("http://192.0.2.1/", [accepted() + [Array("SSH-2.0-x\r\n".utf8)]], "gave an answer that is not HTTP"),
        ("https://192.0.2.1/", [accepted() + [Array("HTTP/1.1 400 Bad\r\n".utf8)]], "does not speak TLS"),
        ("http://name.example/", [accepted([5, 4, 0, 1, 0])], "the name is not known or the host unreachable"),
    ] as [(String, [[[UInt8]]], String)])
func whatIsNotAnsweredIsSaid(url: String, answers: [[[UInt8]]], words: String) throws {
    let (result, _) = try check(url, answers)
    guard case .failure(let fault) = result else {
        Issue.record("it did not fail")
        return
    }
    #expect(fault.kind == .unavailable)
    #expect(fault.message.contains(words), "\(fault.message)")
}

@Test func aProxyThatIsNotThereIsTheSystemsRefusal() throws {
    let loop = try Loop()
    defer { loop.close() }
    let gone = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { $0.close() }
    let address = try #require(gone.localAddress)
    gone.close()
    loop.runOnce()
    let page = try PageCheck("http://192.0.2.1/")
    let fault = #expect(throws: CheckFault.self) {
        try page.run(on: loop, through: .tcp(address), user: "u", password: "p")
    }
    #expect(fault?.message == "\(address): the proxy does not answer")
    guard case .system = fault?.kind else {
        Issue.record("\(String(describing: fault))")
        return
    }
}

@Test func aPageIsATableOfWhatIsKnown() {
    var report = PageReport(url: "http://example.org/", connect: 12.34, total: 40)
    #expect(report.text == "connection  12.3 ms\nin all      40.0 ms")
    (report.exit, report.exitAddress, report.address, report.status) = ("a.snode", "192.0.2.1", "192.0.2.2", 200)
    (report.tls, report.resolve, report.firstByte) = (true, 5, 7)
    #expect(
        report.text.split(separator: "\n") == [
            "exit                  a.snode", "the world sees        192.0.2.1", "resolved at the exit  192.0.2.2",
            "status                200", "TLS                   answers; its certificate is not checked",
            "name                  5.0 ms", "connection            12.3 ms", "first byte            7.0 ms",
            "in all                40.0 ms",
        ])
}

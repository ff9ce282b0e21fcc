public import EventLoop
internal import Wire

/// Fetches a page through a client, and measures each step.
///
/// For an https address it only begins TLS, to see that the server speaks it.
public final class PageCheck {
    private let url: String
    private let place: PageAddress
    private var call: ProxyCall?

    /// A check of the page at `url`.
    public init(_ url: String) throws(CheckFault) {
        self.url = url
        place = try PageAddress(url)
    }

    /// The proxy address that the check uses, of a client that listens at `addresses` with `flags` for each.
    public func endpoint(_ addresses: [String], flags: [[String]]) throws(CheckFault) -> ProxyEndpoint {
        try ProxyEndpoint(addresses, flags: flags, toAddress: IPAddress(place.host) != nil)
    }

    /// Fetches the page as `user` with `password`.
    ///
    /// The connection stays open until ``close()``.
    public func run(
        on loop: Loop, through endpoint: ProxyEndpoint, user: String, password: String
    ) throws(CheckFault) -> PageReport {
        let credentials = SocksOpening.Credentials(user: user, password: password)
        let start = loop.refreshNow()
        var report = PageReport(url: url, connect: 0, total: 0)
        if IPAddress(place.host) == nil {
            let look = ProxyCall(on: loop, through: endpoint, as: credentials)
            defer { look.close() }
            report.address = Self.text(try look.open(.resolve, ProxyTarget(host: place.host, port: 0)))
            report.resolve = Self.milliseconds(from: start, to: loop.refreshNow())
        }
        let connecting = loop.refreshNow()
        let call = ProxyCall(on: loop, through: endpoint, as: credentials)
        self.call = call
        _ = try call.open(.connect, ProxyTarget(host: place.host, port: place.port))
        let connected = loop.refreshNow()
        report.connect = Self.milliseconds(from: connecting, to: connected)
        let first = place.isSecure ? try greet(over: call, &report) : try fetch(over: call, &report)
        report.firstByte = first.map { Self.milliseconds(from: connected, to: $0) }
        report.total = Self.milliseconds(from: start, to: loop.refreshNow())
        return report
    }

    /// Closes the connection; a second call does nothing.
    public func close() { call?.close() }

    /// Sends a ClientHello.
    ///
    /// Returns the time of the answer's first byte.
    private func greet(over call: ProxyCall, _ report: inout PageReport) throws(CheckFault) -> UInt64? {
        try call.send(ClientHello.record(to: place.host))
        let answer = try call.receive(limit: 6, from: place.host)
        guard ClientHello.isAnswered(by: answer.bytes) else {
            let what =
                answer.bytes.isEmpty ? "closed the connection without an answer" : "does not speak TLS at this port"
            throw CheckFault(.unavailable, "\(place.host) \(what)")
        }
        report.tls = true
        return answer.firstByte
    }

    /// Fetches the page.
    ///
    /// Returns the time of its first byte.
    private func fetch(over call: ProxyCall, _ report: inout PageReport) throws(CheckFault) -> UInt64? {
        try call.send(
            Array(
                ("GET \(place.path) HTTP/1.1\r\nHost: \(place.authority)\r\nUser-Agent: tunic\r\n"
                    + "Connection: close\r\n\r\n").utf8))
        let answer = try call.receive(limit: 1 << 20, from: place.host)
        let text = String(decoding: answer.bytes, as: UTF8.self)
        let words = text.split(separator: " ", maxSplits: 2)
        guard words.count > 1, words[0].hasPrefix("HTTP/"), let code = Int(words[1]) else {
            let what = text.isEmpty ? "closed the connection without an answer" : "gave an answer that is not HTTP"
            throw CheckFault(.unavailable, "\(place.host) \(what)")
        }
        report.status = code
        let body = text.components(after: "\r\n\r\n").split(whereSeparator: \.isWhitespace).map(String.init)
        if body.count <= 3 { report.exitAddress = body.first { IPAddress($0) != nil } }
        return answer.firstByte
    }

    /// The text form of an address of 4 or 16 bytes.
    ///
    /// Other bytes are read as UTF-8.
    private static func text(_ address: [UInt8]) -> String {
        func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        switch address.count {
        case 4: return IPAddress(v4: UInt32(number(address[...]))).description
        case 16: return IPAddress(high: number(address[..<8]), low: number(address[8...])).description
        default: return String(decoding: address, as: UTF8.self)
        }
    }

    private static func milliseconds(from start: UInt64, to end: UInt64) -> Double {
        (Double(end - min(start, end)) / 1e5).rounded() / 10
    }
}

extension String {
    /// The text after the first `mark`; empty if there is no `mark`.
    fileprivate func components(after mark: String) -> Substring {
        var rest = self[...]
        while !rest.isEmpty {
            if rest.hasPrefix(mark) { return rest.dropFirst(mark.count) }
            rest = rest.dropFirst()
        }
        return rest
    }
}

internal import ArgumentParser
internal import Control
internal import Glibc
internal import Wire

/// Fetches a page through a running client, and says how long each part took.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Fetch a page through a running client, with the time of each stage.",
        discussion: """
            Examples:
              tunic check http://checkip.amazonaws.com/
              tunic check https://example.org/ --json

            The name is resolved at the exit. Where the page is nothing but an IP address, that is the exit's as the world \
            sees it. Of an https address the connection is made, no more.
            """)

    @Argument(help: "An http or https address.")
    var url: String
    @OptionGroup var target: ControlOptions

    /// What was found; times in milliseconds.
    private struct Report: Encodable {
        var url: String
        var address: String?
        var exit: String?
        var status: Int?
        var exitAddress: String?
        var resolve: Double?
        var connect: Double
        var firstByte: Double?
        var total: Double

        enum CodingKeys: String, CodingKey {
            case url, address, exit, status
            case exitAddress = "exit_address"
            case resolve = "resolve_ms"
            case connect = "connect_ms"
            case firstByte = "first_byte_ms"
            case total = "total_ms"
        }
    }

    func run() throws {
        guard let place = Place(url) else {
            throw Failure(.usage, "'\(url)' is no address such as http://example.org/")
        }
        let status = try target.ask(.status, as: StatusReport.self)
        guard let proxy = status.socks.lazy.compactMap({ Endpoint($0) }).first else {
            throw Failure(.unavailable, "the client has no TCP address for apps")
        }
        // Credentials of its own: the check shares no path with an app.
        let user = String(UInt64.random(in: 0 ... .max), radix: 36)
        let before = try keys().map(\.label)
        let start = Clock.milliseconds
        var address: String?
        var resolved: Double?
        if IPAddress(place.host) == nil {
            let look = try SocksCall(proxy, user: user)
            address = try look.resolve(place.host)
            resolved = Clock.milliseconds - start
        }
        let connecting = Clock.milliseconds
        let call = try SocksCall(proxy, user: user)
        try call.connect(place.host, place.port)
        let connected = Clock.milliseconds
        // Whose exit it is: of the keys that were not there before, this one's is the only one but for an app that has come just now.
        let exits = Set(try keys().filter { !before.contains($0.label) && $0.streams > 0 }.map(\.exit))
        let asked = Clock.milliseconds - connected
        var report = Report(
            url: url, address: address, exit: exits.count == 1 ? exits.first : nil, status: nil, exitAddress: nil,
            resolve: resolved.map(rounded),
            connect: rounded(connected - connecting), firstByte: nil, total: 0)
        if !place.isSecure {
            try call.send(
                Array(
                    ("GET \(place.path) HTTP/1.1\r\nHost: \(place.authority)\r\nUser-Agent: tunic\r\n"
                        + "Connection: close\r\n\r\n").utf8))
            let answer = try call.receiveAll(limit: 1 << 20)
            report.firstByte = answer.firstByte.map { rounded($0 - connected - asked) }
            let text = String(decoding: answer.bytes, as: UTF8.self)
            report.status = text.split(separator: " ", maxSplits: 2).dropFirst().first.flatMap { Int($0) }
            let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
            let body = text.components(after: "\r\n\r\n").split(whereSeparator: \.isWhitespace).map(String.init)
            if body.count <= 3, !words.isEmpty { report.exitAddress = body.first { IPAddress($0) != nil } }
        }
        report.total = rounded(Clock.milliseconds - start - asked)
        print(target.json ? json(report) : Self.text(report))
    }

    /// What the client's isolation keys have open.
    private func keys() throws -> [StreamsReport.Key] { try target.ask(.streams, as: StreamsReport.self).keys }

    private func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }

    private static func text(_ report: Report) -> String {
        var table = Table()
        func time(_ value: Double) -> String { "\(numberText(value, decimals: 1)) ms" }
        if let exit = report.exit { table.add("exit", exit) }
        if let address = report.exitAddress { table.add("the world sees", address) }
        if let address = report.address { table.add("resolved at the exit", address) }
        if let status = report.status { table.add("status", "\(status)") }
        if let resolve = report.resolve { table.add("name", time(resolve)) }
        table.add("connection", time(report.connect))
        if let first = report.firstByte { table.add("first byte", time(first)) }
        table.add("in all", time(report.total))
        return table.lines.joined(separator: "\n")
    }
}

extension String {
    /// What stands behind the first `mark`, or nothing.
    fileprivate func components(after mark: String) -> Substring {
        var rest = self[...]
        while !rest.isEmpty {
            if rest.hasPrefix(mark) { return rest.dropFirst(mark.count) }
            rest = rest.dropFirst()
        }
        return rest
    }
}

/// The parts of an address.
private struct Place {
    let isSecure: Bool
    let host: String
    let port: UInt16
    let authority: String
    let path: String

    init?(_ url: String) {
        let schemes = [("http://", false, UInt16(80)), ("https://", true, UInt16(443))]
        guard let scheme = schemes.first(where: { url.lowercased().hasPrefix($0.0) }) else { return nil }
        isSecure = scheme.1
        let rest = url.dropFirst(scheme.0.count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        authority = String(rest[..<end])
        let tail = rest[end...].prefix { $0 != "#" }
        path = tail.hasPrefix("/") ? String(tail) : "/" + tail
        guard !authority.isEmpty, !url.utf8.contains(where: { $0 <= 32 || $0 == 127 }) else { return nil }
        if let endpoint = Endpoint(authority) {
            (host, port) = ("\(endpoint.address)", endpoint.port)
        } else if authority.hasPrefix("["), authority.hasSuffix("]") {
            (host, port) = (String(authority.dropFirst().dropLast()), scheme.2)
        } else if let colon = authority.lastIndex(of: ":") {
            guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else { return nil }
            (host, port) = (String(authority[..<colon]), number)
        } else {
            (host, port) = (authority, scheme.2)
        }
        guard !host.isEmpty, host.utf8.count <= 255 else { return nil }
    }
}

/// The monotonic clock.
private enum Clock {
    static var milliseconds: Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }
}

/// One connection through a SOCKS5 proxy on this machine, which waits for each answer.
private final class SocksCall {
    private let descriptor: Int32

    init(_ proxy: Endpoint, user: String) throws(Failure) {
        let isIPv4 = proxy.address.isIPv4
        descriptor = socket(isIPv4 ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure.of(errno, "cannot make a socket for", "\(proxy)") }
        var limit = timeval(tv_sec: 40, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard Self.connect(descriptor, proxy) == 0 else {
            throw Failure(.unavailable, "\(proxy): the proxy does not answer (\(errorText(errno)))")
        }
        try send([5, 1, 2])
        guard try receive(2) == [5, 2] else { throw Failure(.unavailable, "\(proxy) is no SOCKS5 proxy of ours") }
        let name = Array("check".utf8)
        try send([1, UInt8(name.count)] + name + [UInt8(user.utf8.count)] + Array(user.utf8))
        guard try receive(2).last == 0 else { throw Failure(.unavailable, "\(proxy) does not take credentials") }
    }

    deinit { close(descriptor) }

    private static func connect(_ descriptor: Int32, _ proxy: Endpoint) -> Int32 {
        if let v4 = proxy.address.v4 {
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = proxy.port.bigEndian
            name.sin_addr.s_addr = v4.bigEndian
            return unsafe withUnsafePointer(to: &name) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        var name = sockaddr_in6()
        name.sin6_family = sa_family_t(AF_INET6)
        name.sin6_port = proxy.port.bigEndian
        unsafe withUnsafeMutableBytes(of: &name.sin6_addr) {
            unsafe $0.storeBytes(of: proxy.address.high.bigEndian, as: UInt64.self)
            unsafe $0.storeBytes(of: proxy.address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return unsafe withUnsafePointer(to: &name) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }

    /// Asks for the address of a name (Tor's RESOLVE).
    func resolve(_ name: String) throws(Failure) -> String {
        try request(0xf0, name, 0)
    }

    /// Connects to a name or an address.
    func connect(_ host: String, _ port: UInt16) throws(Failure) { _ = try request(1, host, port) }

    private func request(_ command: UInt8, _ host: String, _ port: UInt16) throws(Failure) -> String {
        let name = Array(host.utf8)
        try send([5, command, 0, 3, UInt8(name.count)] + name + [UInt8(port >> 8), UInt8(port & 255)])
        let head = try receive(4)
        guard head[1] == 0 else {
            throw Failure(.unavailable, "\(host): \(Self.words[Int(head[1])] ?? "refused with code \(head[1])")")
        }
        let bytes = try receive(head[3] == 1 ? 6 : 18)
        if head[3] == 1 { return bytes.prefix(4).map { "\($0)" }.joined(separator: ".") }
        let (high, low) = (bytes.prefix(8), bytes.dropFirst(8).prefix(8))
        func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        return IPAddress(high: number(high), low: number(low)).description
    }

    /// The refusals of SOCKS5.
    private static let words: [Int: String] = [
        1: "general failure", 2: "not allowed by the exit's policy", 3: "network unreachable",
        4: "the name is not known or the host unreachable", 5: "connection refused",
        6: "no path or no answer in time", 7: "command not supported", 8: "address type not supported",
    ]

    func send(_ bytes: [UInt8]) throws(Failure) {
        guard unsafe Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw Failure(.io, "the client has closed the connection")
        }
    }

    private func receive(_ count: Int) throws(Failure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        guard unsafe recv(descriptor, &bytes, count, Int32(MSG_WAITALL)) == count else {
            throw Failure(.unavailable, "the client gave no answer")
        }
        return bytes
    }

    /// Everything until the end, or `limit` bytes, and when the first byte came.
    func receiveAll(limit: Int) throws(Failure) -> (bytes: [UInt8], firstByte: Double?) {
        var all: [UInt8] = []
        var first: Double?
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while all.count < limit {
            let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { break }
            if first == nil { first = Clock.milliseconds }
            all += chunk[..<count]
        }
        return (all, first)
    }
}

internal import ArgumentParser
internal import Client
internal import Control
internal import Glibc
internal import Process
internal import Texts
internal import Wire

/// Fetches a page through a running client, and says how long each part took.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Fetch a page through a running client, with its exit and the time of each stage.",
        discussion: """
            Examples:
              tunic check http://checkip.amazonaws.com/
              tunic check https://example.org/ --json

            The name is resolved at the exit. Where the page is nothing but an IP address, that is the exit's as the world \
            sees it. Of an https address the first step of TLS is taken, to see that the server speaks it: its certificate is \
            not checked, and no page is fetched. What is not answered is a failure (69).
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
        /// Whether the server has answered as TLS does; its certificate is not checked.
        var tls: Bool?
        var resolve: Double?
        var connect: Double
        var firstByte: Double?
        var total: Double

        enum CodingKeys: String, CodingKey {
            case url, address, exit, status, tls
            case exitAddress = "exit_address"
            case resolve = "resolve_ms"
            case connect = "connect_ms"
            case firstByte = "first_byte_ms"
            case total = "total_ms"
        }
    }

    func run() throws {
        let place = try Place(url)
        let status = try target.ask(.status, as: StatusReport.self)
        let door = try Door(status, toAddress: IPAddress(place.host) != nil)
        let before = try keys()
        // Credentials of its own: the check shares no path with an app.
        let user = String(UInt64.random(in: 0 ... .max), radix: 36)
        let start = Clock.milliseconds
        var address: String?
        var resolved: Double?
        if IPAddress(place.host) == nil {
            let look = try SocksCall(door, user: user)
            address = try look.resolve(place.host)
            resolved = Clock.milliseconds - start
        }
        let connecting = Clock.milliseconds
        let call = try SocksCall(door, user: user)
        try call.connect(place.host, place.port)
        let connected = Clock.milliseconds
        var report = Report(
            url: url, address: address, exit: nil, status: nil, exitAddress: nil, resolve: resolved.map(rounded),
            connect: rounded(connected - connecting), firstByte: nil, total: 0)
        if place.isSecure {
            try call.send(ClientHello.record(to: place.host))
            let answer = try call.receiveAll(limit: 6, from: place.host)
            report.firstByte = answer.firstByte.map { rounded($0 - connected) }
            guard ClientHello.isAnswered(by: answer.bytes) else {
                let what =
                    answer.bytes.isEmpty ? "closed the connection without an answer" : "does not speak TLS at this port"
                throw Failure(.unavailable, "\(place.host) \(what)")
            }
            report.tls = true
        } else {
            try call.send(
                Array(
                    ("GET \(place.path) HTTP/1.1\r\nHost: \(place.authority)\r\nUser-Agent: tunic\r\n"
                        + "Connection: close\r\n\r\n").utf8))
            let answer = try call.receiveAll(limit: 1 << 20, from: place.host)
            report.firstByte = answer.firstByte.map { rounded($0 - connected) }
            let text = String(decoding: answer.bytes, as: UTF8.self)
            let words = text.split(separator: " ", maxSplits: 2)
            guard words.count > 1, words[0].hasPrefix("HTTP/"), let code = Int(words[1]) else {
                let what = text.isEmpty ? "closed the connection without an answer" : "gave an answer that is no HTTP"
                throw Failure(.unavailable, "\(place.host) \(what)")
            }
            report.status = code
            let body = text.components(after: "\r\n\r\n").split(whereSeparator: \.isWhitespace).map(String.init)
            if body.count <= 3 { report.exitAddress = body.first { IPAddress($0) != nil } }
        }
        report.total = rounded(Clock.milliseconds - start)
        // The one key with streams that there was not before is that of the check, whose connection is still open.
        let exits = withExtendedLifetime(call) {
            try? keys().filter { key in key.streams > 0 && !before.contains { $0.label == key.label } }.map(\.exit)
        }
        if let exits, Set(exits).count == 1 { report.exit = exits[0] }
        print(target.json ? json(report) : Self.text(report))
    }

    /// What apps have open.
    private func keys() throws -> [StreamsReport.Key] {
        try target.ask(.streams, as: StreamsReport.self).keys
    }

    private func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }

    private static func text(_ report: Report) -> String {
        var table = Table()
        func time(_ value: Double) -> String { "\(numberText(value, decimals: 1)) ms" }
        if let exit = report.exit { table.add("exit", exit) }
        if let address = report.exitAddress { table.add("the world sees", address) }
        if let address = report.address { table.add("resolved at the exit", address) }
        if let status = report.status { table.add("status", "\(status)") }
        if report.tls == true { table.add("TLS", "answers; its certificate is not checked") }
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

    /// Reads an address; a failure names what is wrong with it, and never a password.
    init(_ url: String) throws(Failure) {
        let schemes = [("http://", false, UInt16(80)), ("https://", true, UInt16(443))]
        guard let scheme = schemes.first(where: { url.lowercased().hasPrefix($0.0) }) else {
            throw Failure(.usage, "an address begins with http:// or https://, such as http://example.org/")
        }
        isSecure = scheme.1
        let rest = url.dropFirst(scheme.0.count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        authority = String(rest[..<end])
        let tail = rest[end...].prefix { $0 != "#" }
        path = tail.hasPrefix("/") ? String(tail) : "/" + tail
        guard !authority.utf8.contains(UInt8(ascii: "@")) else {
            throw Failure(.usage, "leave out user and password, which stand before the @ in the address")
        }
        guard !url.utf8.contains(where: { $0 <= 32 || $0 == 127 }) else {
            throw Failure(.usage, "an address has no spaces and no control characters")
        }
        let none = Failure(.usage, "'\(authority)' is no name or address with or without a port")
        if authority.hasPrefix("[") {
            // An IPv6 address, with a port or without.
            let text = authority.hasSuffix("]") ? "\(authority):\(scheme.2)" : authority
            guard let endpoint = Endpoint(text) else { throw none }
            (host, port) = ("\(endpoint.address)", endpoint.port)
        } else {
            let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
            let number = parts.count == 2 ? UInt16(parts[1]) : scheme.2
            guard 1...2 ~= parts.count, let number, !parts[0].isEmpty, parts.last?.first != "+" else { throw none }
            (host, port) = (String(parts[0]), number)
        }
        guard port > 0 else { throw none }
        guard IPAddress(host) != nil || HostName(host) != nil else {
            let remedy = host.utf8.contains { $0 > 127 } ? "; write a name in other letters in its form with xn--" : ""
            throw Failure(.usage, "'\(host)' is no host name\(remedy)")
        }
    }
}

/// Where a check comes in.
private enum Door: CustomStringConvertible {
    case tcp(Endpoint)
    case unix(String)

    /// One of a client's addresses for apps: one that lets out to addresses if that is wanted, by preference one that gives each
    /// user a path of its own.
    init(_ status: StatusReport, toAddress: Bool) throws(Failure) {
        let flags = status.socksFlags ?? []
        let all = status.socks.enumerated().compactMap { number, text in
            Self(text).map { (door: $0, flags: number < flags.count ? flags[number] : []) }
        }
        let fit = all.filter { !toAddress || !$0.flags.contains("names-only") }
        guard let best = fit.first(where: { !$0.flags.contains("no-credentials") }) ?? fit.first else {
            throw Failure(
                .unavailable,
                all.isEmpty
                    ? "the client has no address for apps that could be used for a check"
                    : "all of the client's addresses for apps let names out only (names-only); check one by its name")
        }
        self = best.door
    }

    private init?(_ text: String) {
        if let endpoint = Endpoint(text) {
            self = .tcp(endpoint)
        } else if text.hasPrefix("unix:") {
            self = .unix(String(text.dropFirst("unix:".count)))
        } else {
            return nil
        }
    }

    var description: String {
        switch self {
        case .tcp(let endpoint): endpoint.description
        case .unix(let path): "unix:\(path)"
        }
    }

    /// A connection, or -1 and `errno`.
    func connect() -> Int32 {
        var limit = timeval(tv_sec: 40, tv_usec: 0)
        func made(_ family: Int32, _ name: UnsafeRawPointer, _ length: Int) -> Int32 {
            let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return -1 }
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            let address = unsafe name.assumingMemoryBound(to: sockaddr.self)
            if unsafe Glibc.connect(descriptor, address, socklen_t(length)) == 0 { return descriptor }
            let error = errno
            close(descriptor)
            errno = error
            return -1
        }
        switch self {
        case .tcp(let endpoint):
            if let v4 = endpoint.address.v4 {
                var name = sockaddr_in()
                name.sin_family = sa_family_t(AF_INET)
                name.sin_port = endpoint.port.bigEndian
                name.sin_addr.s_addr = v4.bigEndian
                return unsafe made(AF_INET, &name, MemoryLayout<sockaddr_in>.size)
            }
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = endpoint.port.bigEndian
            unsafe withUnsafeMutableBytes(of: &name.sin6_addr) {
                unsafe $0.storeBytes(of: endpoint.address.high.bigEndian, as: UInt64.self)
                unsafe $0.storeBytes(of: endpoint.address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return unsafe made(AF_INET6, &name, MemoryLayout<sockaddr_in6>.size)
        case .unix(let path):
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            let bytes = Array(path.utf8)
            guard bytes.count < MemoryLayout.size(ofValue: name.sun_path) else {
                errno = ENAMETOOLONG
                return -1
            }
            unsafe withUnsafeMutableBytes(of: &name.sun_path) { unsafe $0.copyBytes(from: bytes) }
            return unsafe made(AF_UNIX, &name, MemoryLayout<sockaddr_un>.size)
        }
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

    init(_ proxy: Door, user: String) throws(Failure) {
        descriptor = proxy.connect()
        guard descriptor >= 0 else {
            throw Failure(.unavailable, "\(proxy): the proxy does not answer (\(errorText(errno)))")
        }
        try send([5, 1, 2])
        guard try receive(2) == [5, 2] else { throw Failure(.unavailable, "\(proxy) is no SOCKS5 proxy of ours") }
        let name = Array(Client.checkUser.utf8)
        try send([1, UInt8(name.count)] + name + [UInt8(user.utf8.count)] + Array(user.utf8))
        guard try receive(2).last == 0 else { throw Failure(.unavailable, "\(proxy) does not take credentials") }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

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

    /// Everything until the end, or `limit` bytes, and when the first byte came; `host` is whose answer it is.
    func receiveAll(limit: Int, from host: String) throws(Failure) -> (bytes: [UInt8], firstByte: Double?) {
        var all: [UInt8] = []
        var first: Double?
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while all.count < limit {
            let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                let when = all.isEmpty ? "before it answered" : "in the middle of its answer"
                throw Failure(
                    .unavailable,
                    errno == EAGAIN
                        ? "\(host) fell silent for 40 s \(when)" : "\(host): the connection broke \(when)")
            }
            guard count > 0 else { break }
            if first == nil { first = Clock.milliseconds }
            all += chunk[..<count]
        }
        return (all, first)
    }
}

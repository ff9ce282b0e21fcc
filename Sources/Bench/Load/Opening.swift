public import EventLoop

/// A host and a port behind the proxy.
public struct Target: Hashable, Sendable, CustomStringConvertible {
    /// A name or a numeric address.
    public var host: String
    /// The port.
    public var port: UInt16

    /// A host, given by a name of at most 255 bytes or a numeric address, and a port.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads `HOST:PORT`, an IPv6 address in brackets.
    public init?(_ text: String) {
        if let address = SocketAddress(text) {
            self.init(host: address.host, port: address.port)
        } else {
            guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
                return nil
            }
            let host = String(text[..<colon])
            guard 1...255 ~= host.utf8.count, !host.contains(":"), host.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else {
                return nil
            }
            self.init(host: host, port: port)
        }
        guard self.port != 0 else { return nil }
    }

    /// Its numeric address, where it has one.
    public var address: SocketAddress? { SocketAddress(numericHost: host, port: port) }

    /// The form that ``init(_:)`` reads.
    public var description: String { address?.description ?? "\(host):\(port)" }

    /// Type, address and port as SOCKS5 has them (RFC 1928, section 5).
    var socksBytes: [UInt8] {
        let place: [UInt8]
        if let address {
            place =
                address.ipv4.map { [1] + bigEndianBytes(of: $0) }
                ?? [4] + bigEndianBytes(of: address.high) + bigEndianBytes(of: address.low)
        } else {
            place = [3, UInt8(truncatingIfNeeded: host.utf8.count)] + Array(host.utf8)
        }
        return place + bigEndianBytes(of: port)
    }
}

/// The near end's part until a stream is open: SOCKS5 (RFC 1928, RFC 1929), where there is a proxy, and then the request.
///
/// One message goes out only when the answer to the one before has come, as most applications do.
public struct Opening {
    /// What to do after an answer.
    public enum Step: Equatable {
        /// Wait for more.
        case wait
        /// Send these bytes.
        case send([UInt8])
        /// The stream is open.
        case open
        /// The stream is to be closed.
        case failed(Fault)
    }

    private enum State { case method, password, reply, answer }

    private let target: Target?
    private let userName: String?
    private let request: Request
    private var state: State
    private var received: [UInt8] = []
    private var needed: Int

    /// Opens a stream to `target` through a proxy, or on a direct connection where `target` is nil.
    ///
    /// With a user name, which the proxy may keep streams apart by, RFC 1929 is offered, else no authentication.
    public init(to target: Target?, userName: String?, request: Request) {
        self.target = target
        self.userName = userName
        self.request = request
        state = target == nil ? .answer : .method
        needed = target == nil ? Request.size : 2
    }

    /// What to send first.
    public var firstBytes: [UInt8] {
        target == nil ? request.bytes : [5, 1, userName == nil ? 0 : 2]
    }

    /// How many bytes of the next answer are missing.
    public var missing: Int { needed - received.count }

    /// Takes bytes of the answer, at most ``missing``.
    public mutating func take(_ bytes: [UInt8]) -> Step {
        received += bytes
        guard received.count == needed else { return .wait }
        switch state {
        case .method:
            guard received == [5, userName == nil ? 0 : 2] else {
                return .failed(Fault(.refused, "SOCKS method \(received[1])"))
            }
            guard let userName else { return askForTarget() }
            let name = Array(userName.utf8.prefix(255))
            expect(2, .password)
            return .send([1, UInt8(name.count)] + name + [5] + Array("bench".utf8))
        case .password:
            guard received[1] == 0 else { return .failed(Fault(.refused, "SOCKS password")) }
            return askForTarget()
        case .reply: return takeReply()
        case .answer:
            guard received == request.answer else { return .failed(Fault(.corrupt, "the answer differs")) }
            return .open
        }
    }

    private mutating func expect(_ count: Int, _ next: State) {
        state = next
        needed = count
        received = []
    }

    private mutating func askForTarget() -> Step {
        expect(5, .reply)
        return .send([5, 1, 0] + (target?.socksBytes ?? []))
    }

    private mutating func takeReply() -> Step {
        guard received[0] == 5, received[1] == 0 else {
            return .failed(Fault(.refused, "SOCKS reply \(received[1])\(Self.meaning(ofReply: received[1]))"))
        }
        let length: Int
        switch received[3] {
        case 1: length = 10
        case 3: length = 7 + Int(received[4])
        case 4: length = 22
        default: return .failed(Fault(.refused, "SOCKS reply with address type \(received[3])"))
        }
        guard received.count == length else {
            needed = length
            return .wait
        }
        expect(Request.size, .answer)
        return .send(request.bytes)
    }

    /// RFC 1928, section 6.
    private static func meaning(ofReply reply: UInt8) -> String {
        let meanings = [
            "general failure", "not allowed", "network unreachable", "host unreachable", "connection refused",
            "expired",
            "command not supported", "address type not supported",
        ]
        return 1...8 ~= reply ? ", \(meanings[Int(reply) - 1])" : ""
    }
}

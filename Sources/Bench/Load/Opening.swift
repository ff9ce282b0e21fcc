/// The near end's steps until a stream is open: SOCKS5 if there is a proxy, then the request.
public struct Opening {
    /// The next step after an answer.
    public enum Step: Equatable {
        /// Wait for more bytes.
        case wait
        /// Send these bytes.
        case send([UInt8])
        /// The stream is open.
        case open
        /// The stream must be closed.
        case failed(LoadFault)
    }

    private let request: Request
    /// The SOCKS5 handshake; nil on a direct connection and after the proxy's reply.
    private var socks: SocksOpening?
    private var answer: [UInt8] = []

    /// Opens a stream to `target` through a proxy, or on a direct connection if `target` is nil.
    ///
    /// With a user name, which the proxy may isolate streams by, it offers RFC 1929. Otherwise it offers no
    /// authentication.
    public init(to target: ProxyTarget?, userName: String?, request: Request) {
        self.request = request
        let credentials = userName.map { SocksOpening.Credentials(user: $0, password: "bench") }
        socks = target.map { SocksOpening(.connect, to: $0, credentials: credentials) }
    }

    /// The first bytes to send.
    public var firstBytes: [UInt8] { socks?.firstBytes ?? request.bytes }

    /// The number of bytes that the next answer still lacks.
    public var missing: Int { socks?.missing ?? Request.size - answer.count }

    /// Takes bytes of the answer, at most ``missing``.
    public mutating func take(_ bytes: [UInt8]) -> Step {
        switch socks?.take(bytes) {
        case .wait: return .wait
        case .send(let bytes): return .send(bytes)
        case .refused(let refusal): return .failed(LoadFault(refusal))
        case .done:
            socks = nil
            return .send(request.bytes)
        case nil:
            answer += bytes
            guard answer.count == Request.size else { return .wait }
            guard answer == request.answer else { return .failed(LoadFault(.corrupt, "the answer differs")) }
            return .open
        }
    }
}

extension LoadFault {
    fileprivate init(_ refusal: SocksOpening.Refusal) {
        let detail =
            switch refusal {
            case .method(let method): "SOCKS method \(method)"
            case .password: "SOCKS password"
            case .reply(let reply): "SOCKS reply \(reply)\(Self.meaning(ofReply: reply))"
            case .addressType(let type): "SOCKS reply with address type \(type)"
            }
        self.init(.refused, detail)
    }

    /// The meaning of a reply code (RFC 1928, section 6).
    private static func meaning(ofReply reply: UInt8) -> String {
        let meanings = [
            "general failure", "not allowed", "network unreachable", "host unreachable", "connection refused",
            "expired", "command not supported", "address type not supported",
        ]
        return 1...8 ~= reply ? ", \(meanings[Int(reply) - 1])" : ""
    }
}

/// The near end's part until a stream is open: SOCKS5, where there is a proxy, and then the request.
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

    private let request: Request
    /// What the proxy is told; nil on a direct connection, and when it has answered.
    private var socks: SocksOpening?
    private var answer: [UInt8] = []

    /// Opens a stream to `target` through a proxy, or on a direct connection where `target` is nil.
    ///
    /// With a user name, which the proxy may keep streams apart by, RFC 1929 is offered, else no authentication.
    public init(to target: Target?, userName: String?, request: Request) {
        self.request = request
        let credentials = userName.map { SocksOpening.Credentials(user: $0, password: "bench") }
        socks = target.map { SocksOpening(.connect, to: $0, credentials: credentials) }
    }

    /// What to send first.
    public var firstBytes: [UInt8] { socks?.firstBytes ?? request.bytes }

    /// How many bytes of the next answer are missing.
    public var missing: Int { socks?.missing ?? Request.size - answer.count }

    /// Takes bytes of the answer, at most ``missing``.
    public mutating func take(_ bytes: [UInt8]) -> Step {
        switch socks?.take(bytes) {
        case .wait: return .wait
        case .send(let bytes): return .send(bytes)
        case .refused(let refusal): return .failed(Fault(refusal))
        case .done:
            socks = nil
            return .send(request.bytes)
        case nil:
            answer += bytes
            guard answer.count == Request.size else { return .wait }
            guard answer == request.answer else { return .failed(Fault(.corrupt, "the answer differs")) }
            return .open
        }
    }
}

extension Fault {
    /// What the proxy did not do.
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

    /// RFC 1928, section 6.
    private static func meaning(ofReply reply: UInt8) -> String {
        let meanings = [
            "general failure", "not allowed", "network unreachable", "host unreachable", "connection refused",
            "expired", "command not supported", "address type not supported",
        ]
        return 1...8 ~= reply ? ", \(meanings[Int(reply) - 1])" : ""
    }
}

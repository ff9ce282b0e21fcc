/// An answer to an HTTP request, made of constants only: nothing that was asked is repeated in it.
enum HTTPAnswer: Int {
    /// The tunnel stands.
    case connected = 200
    /// The head is malformed or too long.
    case badRequest = 400
    /// The exit's policy forbids the destination.
    case forbidden = 403
    /// No CONNECT, and not for an http: URL.
    case methodNotAllowed = 405
    /// The exit cannot reach the destination.
    case badGateway = 502
    /// There is no path to an exit.
    case unavailable = 503
    /// It took too long.
    case gatewayTimeout = 504

    /// What the app is told when `reply` is what became of its request.
    init(_ reply: SocksReply) {
        self =
            switch reply {
            case .succeeded: .connected
            case .notAllowed: .forbidden
            case .ttlExpired: .gatewayTimeout
            case .commandNotSupported: .methodNotAllowed
            case .addressTypeNotSupported: .badRequest
            case .generalFailure, .networkUnreachable, .hostUnreachable, .connectionRefused: .badGateway
            }
    }

    private var reason: String {
        switch self {
        case .connected: "Connection established"
        case .badRequest: "Bad Request"
        case .forbidden: "Forbidden"
        case .methodNotAllowed: "Method Not Allowed"
        case .badGateway: "Bad Gateway"
        case .unavailable: "Service Unavailable"
        case .gatewayTimeout: "Gateway Timeout"
        }
    }

    private var text: String {
        switch self {
        case .connected: ""
        case .badRequest: "The request is not one that this proxy can read.\n"
        case .forbidden: "The exit does not connect to this destination.\n"
        case .methodNotAllowed:
            """
            This is a proxy of Tunic for programs on this machine: it speaks SOCKS4a, SOCKS5 and HTTP.
            It has no pages of its own. As an HTTP proxy it takes CONNECT, and requests for http: URLs.

            """
        case .badGateway: "The destination could not be reached.\n"
        case .unavailable: "Tunic has no path to an exit now. 'tunic status' says why.\n"
        case .gatewayTimeout: "The destination did not answer in time.\n"
        }
    }

    /// The whole answer, behind which the connection is closed, except for `connected`, behind which the tunnel begins.
    func encoded(withBody: Bool = true) -> [UInt8] {
        var head = "HTTP/1.1 \(rawValue) \(reason)\r\n"
        // The answer to CONNECT has no length and no body (RFC 9110, section 9.3.6).
        guard self != .connected else { return Array((head + "\r\n").utf8) }
        if self == .methodNotAllowed { head += "Allow: CONNECT\r\n" }
        head += """
            Content-Type: text/plain; charset=utf-8\r
            Content-Length: \(text.utf8.count)\r
            Cache-Control: no-store\r
            X-Content-Type-Options: nosniff\r
            Connection: close\r
            \r

            """
        return Array((withBody ? head + text : head).utf8)
    }
}

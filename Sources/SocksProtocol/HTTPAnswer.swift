/// An answer to an HTTP request, made of constants only: it repeats no part of the request.
enum HTTPAnswer {
    /// The tunnel is open.
    case connected
    /// The head is malformed or too long.
    case badRequest
    /// The exit's policy forbids the destination.
    case forbidden
    /// The method is not CONNECT, and the target is not an http: URL.
    case methodNotAllowed
    /// The app sent credentials that cannot be read (RFC 9110, section 11.7.1).
    case credentialsNeeded
    /// The exit cannot reach the destination.
    case badGateway
    /// There is no path to an exit.
    case unavailable
    /// The destination did not answer in time.
    case gatewayTimeout
    /// The limit of identities that a client keeps apart is reached.
    case tooManyIdentities(Int)

    /// The answer for `reply`.
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

    private var status: Int {
        switch self {
        case .connected: 200
        case .badRequest: 400
        case .forbidden: 403
        case .methodNotAllowed: 405
        case .credentialsNeeded: 407
        case .badGateway: 502
        case .unavailable, .tooManyIdentities: 503
        case .gatewayTimeout: 504
        }
    }

    private var reason: String {
        switch self {
        case .connected: "Connection established"
        case .badRequest: "Bad Request"
        case .forbidden: "Forbidden"
        case .methodNotAllowed: "Method Not Allowed"
        case .credentialsNeeded: "Proxy Authentication Required"
        case .badGateway: "Bad Gateway"
        case .unavailable, .tooManyIdentities: "Service Unavailable"
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
        case .credentialsNeeded:
            """
            The credentials for this proxy cannot be read. It takes any user name and password of Basic authentication,
            and keeps each pair apart. It takes requests without credentials, too.

            """
        case .badGateway: "The destination could not be reached.\n"
        case .unavailable: "Tunic has no path to an exit now. 'tunic status' says why.\n"
        case .gatewayTimeout: "The destination did not answer in time.\n"
        case .tooManyIdentities(let limit):
            "Too many identities (\(limit)) are in use; use fewer user names, or end what some of them have open.\n"
        }
    }

    /// The whole answer; after `connected` the tunnel begins, after any other the connection is closed.
    func encoded(withBody: Bool = true) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(reason)\r\n"
        // The answer to CONNECT has no length and no body (RFC 9110, section 9.3.6).
        if case .connected = self { return Array((head + "\r\n").utf8) }
        if case .methodNotAllowed = self { head += "Allow: CONNECT\r\n" }
        if case .credentialsNeeded = self { head += "Proxy-Authenticate: Basic realm=\"Tunic\", charset=\"UTF-8\"\r\n" }
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

/// Decides who may use a server on this machine: only clients that use a loopback name and, if there is one, the
/// secret.
///
/// A page of another site can reach 127.0.0.1 too, through a name that resolves to it (DNS rebinding) or through a
/// form. The first has another `Host`; the second cannot set our header, and has another `Origin`.
public struct WebGate: Sendable {
    private let hosts: Set<String>
    private let token: String

    /// The gate of a server at `port` with the secret `token`; empty: no secret.
    public init(port: UInt16, token: String) {
        hosts = ["127.0.0.1:\(port)", "localhost:\(port)", "[::1]:\(port)"]
        self.token = token
    }

    /// The answer that refuses a request; nil if it is allowed.
    ///
    /// Only `GET`, and `POST` with the secret in the header and our own origin, are allowed.
    public func refusal(of request: WebRequest) -> WebResponse? {
        guard hosts.contains(request.host.lowercased()) else {
            return WebResponse(421, "Ask for this server by 127.0.0.1, localhost or [::1] and its port.\n")
        }
        switch request.method {
        case "GET", "HEAD": break
        case "POST":
            guard request.origin.isEmpty || request.origin == "http://\(request.host)" else {
                return WebResponse(403, "Another site's page may not ask for this.\n")
            }
            guard isToken(request.headerToken) else { return Self.wantsToken }
        default: return WebResponse(405, "GET and POST only.\n")
        }
        return nil
    }

    /// Whether a request has the secret, in the query or the header.
    public func knowsToken(_ request: WebRequest) -> Bool {
        isToken(request.headerToken) || isToken(request.queryToken)
    }

    /// The answer to a request without the secret.
    public static let wantsToken = WebResponse(
        403, "This page has a secret in its address: 'tunic web' prints the whole address.\n")

    private func isToken(_ text: String) -> Bool { !token.isEmpty && Self.areEqual(text, token) }

    /// Compares two texts; the time does not reveal how much of a secret was right.
    public static func areEqual(_ one: String, _ other: String) -> Bool {
        let (one, other) = (Array(one.utf8), Array(other.utf8))
        return one.count == other.count && zip(one, other).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

/// Who may ask a server on this machine for what: only who knows it by a loopback name, and its secret where it has one.
///
/// A page of another site reaches 127.0.0.1 too, by a name that resolves to it (DNS rebinding) or by a form. The first has
/// another `Host`; the second cannot set our header, and has another `Origin`.
public struct WebGate: Sendable {
    private let hosts: Set<String>
    private let token: String

    /// The gate of a server at `port`, with the secret `token`; empty: there is none.
    public init(port: UInt16, token: String) {
        hosts = ["127.0.0.1:\(port)", "localhost:\(port)", "[::1]:\(port)"]
        self.token = token
    }

    /// Why a request is refused; nil when it is not.
    ///
    /// Only `GET` is let pass, and `POST` with the secret in the header and an origin of our own.
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

    /// Compares in a time that does not tell how much of a secret was right.
    public static func areEqual(_ one: String, _ other: String) -> Bool {
        let (one, other) = (Array(one.utf8), Array(other.utf8))
        return one.count == other.count && zip(one, other).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

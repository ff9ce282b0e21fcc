internal import Wire

/// The address of a daemon's JSON-RPC: `http://127.0.0.1:22023`, with `user:password@` if it requires them.
public struct OxendAddress: Hashable, Sendable, CustomStringConvertible {
    /// The address at which the daemon listens for administration by default.
    public static let standard = "http://127.0.0.1:22023"
    /// The longest address in bytes.
    private static let limit = 1_024

    /// The address to post to; it may hold a password.
    let url: String
    /// The address without user and password.
    public let description: String
    /// Whether requests leave this machine unencrypted.
    public let isExposed: Bool

    /// Reads an address: `http` or `https`, a host or an IPv6 address in brackets, a port, and nothing after it.
    public init(_ text: String) throws(OxendError) {
        guard text.utf8.count <= Self.limit, text.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else {
            throw .badAddress("it is too long or has characters that no address has")
        }
        guard let separator = text.firstRange(of: "://") else {
            throw .badAddress("it does not begin with http:// or https://, as \(Self.standard) does")
        }
        let scheme = text[..<separator.lowerBound]
        guard scheme == "http" || scheme == "https" else { throw .badAddress("only http and https are supported") }
        var authority = text[separator.upperBound...]
        if authority.last == "/" { authority = authority.dropLast() }
        let place = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        guard !authority.contains("/"), !authority.contains("?"), !authority.contains("#") else {
            throw .badAddress("it has a path; give only host and port")
        }
        guard let colon = place.lastIndex(of: ":"), let port = UInt16(place[place.index(after: colon)...]), port > 0
        else { throw .badAddress("it has no port; a daemon's default is 22023") }
        let host = place[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        let bare = isBracketed ? host.dropFirst().dropLast() : host
        guard !bare.isEmpty, isBracketed || !host.contains(":") else {
            throw .badAddress("an IPv6 address must be in brackets")
        }
        url = "\(scheme)://\(authority)/json_rpc"
        description = "\(scheme)://\(place)"
        isExposed = scheme == "http" && bare != "localhost" && !(IPAddress(String(bare))?.isLoopback ?? false)
    }
}

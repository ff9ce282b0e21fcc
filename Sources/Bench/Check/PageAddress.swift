internal import Wire

/// The parts of an http or https address.
struct PageAddress {
    let isSecure: Bool
    let host: String
    let port: UInt16
    let authority: String
    let path: String

    /// Parses an address.
    ///
    /// The error names the part that is wrong, and never a password.
    init(_ url: String) throws(CheckFault) {
        let schemes = [("http://", false, UInt16(80)), ("https://", true, UInt16(443))]
        guard let scheme = schemes.first(where: { url.lowercased().hasPrefix($0.0) }) else {
            throw CheckFault(.usage, "an address begins with http:// or https://, such as http://example.org/")
        }
        isSecure = scheme.1
        let rest = url.dropFirst(scheme.0.count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        authority = String(rest[..<end])
        let tail = rest[end...].prefix { $0 != "#" }
        path = tail.hasPrefix("/") ? String(tail) : "/" + tail
        guard !authority.utf8.contains(UInt8(ascii: "@")) else {
            throw CheckFault(.usage, "leave out user and password, which stand before the @ in the address")
        }
        guard !url.utf8.contains(where: { $0 <= 32 || $0 == 127 }) else {
            throw CheckFault(.usage, "an address has no spaces and no control characters")
        }
        let none = CheckFault(.usage, "expected a host, and perhaps a port, got '\(authority)'")
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
            throw CheckFault(.usage, "'\(host)' is not a host name\(remedy)")
        }
    }
}

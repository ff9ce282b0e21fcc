internal import ArgumentParser
internal import Client
internal import Wire

/// An address on the command line, or why it is none.
func endpoint(_ text: String) throws -> Endpoint {
    if let endpoint = Endpoint(text) { return endpoint }
    throw ValidationError("'\(text)' is no address with a port, such as 127.0.0.1:1080 or [::1]:1080")
}

/// The addresses of one node to which others send, with a comma between, at most one of each family.
func announcedEndpoints(_ text: String) throws -> [Endpoint] {
    let endpoints = try text.split(separator: ",", omittingEmptySubsequences: false)
        .map { try announcedEndpoint(String($0)) }
    guard Set(endpoints.map(\.address.isIPv4)).count == endpoints.count else {
        throw ValidationError(
            "'\(text)' names two addresses of one family; give one of IPv4, one of IPv6, or both with a comma between")
    }
    return endpoints
}

/// An address to which others send.
func announcedEndpoint(_ text: String) throws -> Endpoint {
    let endpoint = try endpoint(text)
    guard endpoint.port != 0, !endpoint.address.isUnspecified else {
        throw ValidationError("'\(endpoint)' is no address that others could send to")
    }
    return endpoint
}

/// A range of addresses on the command line.
func addressRange(_ text: String) throws -> CIDR {
    if let range = CIDR(text) { return range }
    throw ValidationError("'\(text)' is no range of addresses, such as 127.0.0.0/8 or fd00::/8")
}

/// An address that apps may be awaited at: only this machine's own programs reach it.
func socksEndpoint(_ text: String) throws -> Endpoint {
    let endpoint = try endpoint(text)
    guard endpoint.address.isLoopback else {
        throw ValidationError(
            "the proxy listens on loopback only (127.0.0.1:PORT or [::1]:PORT), for whoever reaches it can use it; "
                + "--allow-remote, or allow_remote = true, lifts that")
    }
    return endpoint
}

/// A loopback address, or nil for `off`.
func localAddress(_ text: String) throws -> Endpoint? {
    guard text != "off" else { return nil }
    let endpoint = try endpoint(text)
    guard endpoint.address.isLoopback else {
        throw ValidationError("only this machine may reach it: use 127.0.0.1:PORT or [::1]:PORT, or \"off\"")
    }
    return endpoint
}

/// Where a client may await apps: a loopback address, or any where `mayBeRemote`, or `unix:` and an absolute path.
func proxyAddress(_ text: String, mayBeRemote: Bool) throws -> ProxyAddress {
    guard text.hasPrefix("unix:") else { return .tcp(try mayBeRemote ? endpoint(text) : socksEndpoint(text)) }
    let path = String(text.dropFirst("unix:".count))
    guard path.hasPrefix("/"), !path.hasSuffix("/"), path.utf8.count <= 107, !path.utf8.contains(0) else {
        throw ValidationError("'\(text)' is no unix socket: behind unix: stands an absolute path of at most 107 bytes")
    }
    return .unix(path)
}

extension IPAddress {
    /// Whether it is an IPv4 address.
    var isIPv4: Bool { v4 != nil }

    /// Whether it is 0.0.0.0 or ::, which is an address to listen at, not to send to.
    var isUnspecified: Bool { v4 == 0 || (high == 0 && low == 0) }
}

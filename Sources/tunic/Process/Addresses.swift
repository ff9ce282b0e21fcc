internal import ArgumentParser
internal import Client
internal import EventLoop
internal import Links
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

/// A name server: an address, with or without a port.
func nameServer(_ text: String) throws -> String {
    if Endpoint(text) != nil || IPAddress(text) != nil { return text }
    throw ValidationError(
        "'\(text)' is no address of a name server, such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53")
}

/// A range of addresses on the command line.
func addressRange(_ text: String) throws -> CIDR {
    if let range = CIDR(text) { return range }
    throw ValidationError("'\(text)' is no range of addresses, such as 127.0.0.0/8 or fd00::/8")
}

/// An address that apps may be awaited at: only this machine's own programs reach it.
func socksEndpoint(_ text: String) throws -> Endpoint {
    let endpoint = try endpoint(text)
    try checkIsLocal(endpoint)
    return endpoint
}

/// An address at which a network of one machine may await apps.
func devnetEndpoint(_ text: String) throws -> Endpoint {
    let endpoint = try endpoint(text)
    guard endpoint.address.isLoopback else {
        throw ValidationError("a devnet's proxy listens on loopback only (127.0.0.1:PORT or [::1]:PORT)")
    }
    return endpoint
}

/// Throws where other machines reach an address at which apps are to be awaited; `holder` is who listens there already.
private func checkIsLocal(_ endpoint: Endpoint, holder: String? = nil) throws {
    guard !endpoint.address.isLoopback else { return }
    throw ValidationError(
        (holder.map { "\($0) is a socket at \(endpoint): " } ?? "")
            + "the proxy listens on loopback only (127.0.0.1:PORT or [::1]:PORT), for whoever reaches it can use it; "
            + "--allow-remote, or allow_remote = true, lifts that")
}

/// An address at which DNS may be answered: no other machine reaches it.
func dnsEndpoint(_ text: String) throws -> Endpoint {
    let endpoint = try endpoint(text)
    guard endpoint.address.isLoopback else {
        throw ValidationError("DNS is answered on loopback only (127.0.0.1:PORT or [::1]:PORT)")
    }
    return endpoint
}

/// Rules of an exit policy in Tor's words, as in its configuration one or several with commas between.
func exitRules(_ text: String) throws -> [ExitRule] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
        let part = part.drop(while: \.isWhitespace)
        if let rule = ExitRule(part) { return rule }
        throw ValidationError("'\(part)' is no rule, such as \"reject *:6881-6999\" or \"accept 192.0.2.0/24:443\"")
    }
}

/// Two letters for a country, as capitals.
func country(_ text: String) throws -> String {
    guard Descriptor.isCountry(text.uppercased().utf8) else {
        throw ValidationError("'\(text)' is no country: use two letters, such as SE")
    }
    return text.uppercased()
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

/// Where a client may await apps: a loopback address, or any where `mayBeRemote`, or `unix:` and an absolute path, or
/// `systemd:` and the name of a socket that was handed over, whose address is judged as one that is written down.
///
/// A name that several sockets have stands for all of them, with `#` and a number behind it for one.
func proxyAddresses(_ text: String, mayBeRemote: Bool) throws -> [ProxyAddress] {
    if text.hasPrefix("systemd:") {
        let name = String(text.dropFirst("systemd:".count))
        let found = ActivatedSockets.named(name)
        guard !found.isEmpty else { return [.inherited(name, descriptor: -1)] }
        return try found.map { socket in
            if !mayBeRemote, let address = StreamListener.address(of: socket.descriptor) {
                try checkIsLocal(Endpoint(address), holder: "systemd:\(socket.name)")
            }
            return .inherited(socket.name, descriptor: socket.descriptor)
        }
    }
    guard text.hasPrefix("unix:") else { return [.tcp(try mayBeRemote ? endpoint(text) : socksEndpoint(text))] }
    let path = String(text.dropFirst("unix:".count))
    guard path.hasPrefix("/"), !path.hasSuffix("/"), path.utf8.count <= 107, !path.utf8.contains(0) else {
        throw ValidationError("'\(text)' is no unix socket: behind unix: stands an absolute path of at most 107 bytes")
    }
    return [.unix(path)]
}

/// An address for apps, or several of systemd's with one name, and behind commas what is kept apart there.
func proxyListeners(_ text: String, mayBeRemote: Bool) throws -> [ProxyListener] {
    let words = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let addresses = try proxyAddresses(words[0], mayBeRemote: mayBeRemote)
    var listener = ProxyListener(addresses[0])
    for word in words.dropFirst() {
        switch word {
        case "destination-host": listener.isolation.insert(.destinationHost)
        case "destination-port": listener.isolation.insert(.destinationPort)
        case "client-address": listener.isolation.insert(.clientAddress)
        case "no-credentials": listener.isolation.remove(.credentials)
        case "no-listener": listener.isolation.remove(.listener)
        case "no-protocol": listener.isolation.remove(.proxyProtocol)
        case "names-only": listener.namesOnly = true
        default:
            throw ValidationError(
                "'\(word)' is nothing that can be kept apart: behind the address stand destination-host, destination-port, "
                    + "client-address, no-credentials, no-listener, no-protocol or names-only")
        }
    }
    return addresses.map { ProxyListener($0, isolation: listener.isolation, namesOnly: listener.namesOnly) }
}

extension IPAddress {
    /// Whether it is an IPv4 address.
    var isIPv4: Bool { v4 != nil }

    /// Whether it is 0.0.0.0 or ::, which is an address to listen at, not to send to.
    var isUnspecified: Bool { v4 == 0 || (high == 0 && low == 0) }
}

package import Client
internal import EventLoop
internal import Links
package import Oxen
package import Settings
package import Wire

/// Parses the texts of settings and options, or returns their problem.
package enum SettingText {
    /// An address with a port.
    package static func endpoint(_ text: String) throws(SettingFault) -> Endpoint {
        if let endpoint = Endpoint(text) { return endpoint }
        throw SettingFault("expected an address with a port, such as 127.0.0.1:1080 or [::1]:1080, got '\(text)'")
    }

    /// The announced addresses of one node, separated by commas, at most one of each family.
    package static func announcedEndpoints(_ text: String) throws(SettingFault) -> [Endpoint] {
        let endpoints = try text.split(separator: ",", omittingEmptySubsequences: false)
            .map { text throws(SettingFault) in try announcedEndpoint(String(text)) }
        guard Set(endpoints.map(\.address.isIPv4)).count == endpoints.count else {
            throw SettingFault(
                "'\(text)' names two addresses of one family; give one of IPv4, one of IPv6, or both separated by a comma"
            )
        }
        return endpoints
    }

    /// An announced address, to which other nodes send.
    package static func announcedEndpoint(_ text: String) throws(SettingFault) -> Endpoint {
        let endpoint = try endpoint(text)
        guard endpoint.port != 0, !endpoint.address.isUnspecified else {
            throw SettingFault("'\(endpoint)' is not an address to which others can send")
        }
        return endpoint
    }

    /// A name server: an address, with or without a port.
    package static func nameServer(_ text: String) throws(SettingFault) -> String {
        if Endpoint(text) != nil || IPAddress(text) != nil { return text }
        throw SettingFault(
            "'\(text)' is not an address of a name server, such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53")
    }

    /// A range of addresses on the command line.
    package static func addressRange(_ text: String) throws(SettingFault) -> CIDR {
        if let range = CIDR(text) { return range }
        throw SettingFault("'\(text)' is not a range of addresses, such as 127.0.0.0/8 or fd00::/8")
    }

    /// A listen address for apps that only this machine's programs can reach.
    package static func socksEndpoint(_ text: String) throws(SettingFault) -> Endpoint {
        let endpoint = try endpoint(text)
        try checkIsLocal(endpoint)
        return endpoint
    }

    /// A listen address for apps of a network on one machine.
    package static func devnetEndpoint(_ text: String) throws(SettingFault) -> Endpoint {
        let endpoint = try endpoint(text)
        guard endpoint.address.isLoopback else {
            throw SettingFault("a devnet's proxy listens on loopback only (127.0.0.1:PORT or [::1]:PORT)")
        }
        return endpoint
    }

    /// Throws if other machines can reach a listen address for apps; `holder` is the process that already listens
    /// there.
    private static func checkIsLocal(_ endpoint: Endpoint, holder: String? = nil) throws(SettingFault) {
        guard !endpoint.address.isLoopback else { return }
        throw SettingFault(
            (holder.map { "\($0) is a socket at \(endpoint): " } ?? "")
                + "the proxy listens on loopback only (127.0.0.1:PORT or [::1]:PORT), because anyone who reaches it can use "
                + "it; --allow-remote, or allow_remote = true, permits other addresses")
    }

    /// A listen address for DNS; other machines cannot reach it.
    package static func dnsEndpoint(_ text: String) throws(SettingFault) -> Endpoint {
        let endpoint = try endpoint(text)
        guard endpoint.address.isLoopback else {
            throw SettingFault("DNS is answered on loopback only (127.0.0.1:PORT or [::1]:PORT)")
        }
        return endpoint
    }

    /// Rules of an exit policy in Tor's syntax: one, or several separated by commas.
    package static func exitRules(_ text: String) throws(SettingFault) -> [ExitRule] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { part throws(SettingFault) in
            let part = part.drop(while: \.isWhitespace)
            if let rule = ExitRule(part) { return rule }
            throw SettingFault("'\(part)' is not a rule, such as \"reject *:6881-6999\" or \"accept 192.0.2.0/24:443\"")
        }
    }

    /// Two letters for a country, in upper case.
    package static func country(_ text: String) throws(SettingFault) -> String {
        guard Descriptor.isCountry(text.uppercased().utf8) else {
            throw SettingFault("'\(text)' is not a country: use two letters, such as SE")
        }
        return text.uppercased()
    }

    /// A loopback address, or nil for `off`.
    package static func localAddress(_ text: String) throws(SettingFault) -> Endpoint? {
        guard text != "off" else { return nil }
        let endpoint = try endpoint(text)
        guard endpoint.address.isLoopback else {
            throw SettingFault("only this machine may reach it: use 127.0.0.1:PORT or [::1]:PORT, or \"off\"")
        }
        return endpoint
    }

    /// A client's listen address for apps.
    ///
    /// It is a loopback address, or any address if `mayBeRemote`; `unix:` and an absolute path; or `systemd:` and the
    /// name of a socket from systemd, whose address must meet the same rules. A name of several sockets means all of
    /// them; with `#` and a number after it, one of them.
    package static func proxyAddresses(_ text: String, mayBeRemote: Bool) throws(SettingFault) -> [ProxyAddress] {
        if text.hasPrefix("systemd:") {
            let name = String(text.dropFirst("systemd:".count))
            let found = ActivatedSockets.named(name)
            guard !found.isEmpty else { return [.inherited(name, descriptor: -1)] }
            return try found.map { socket throws(SettingFault) in
                if !mayBeRemote, let address = StreamListener.address(of: socket.descriptor) {
                    try checkIsLocal(Endpoint(address), holder: "systemd:\(socket.name)")
                }
                return .inherited(socket.name, descriptor: socket.descriptor)
            }
        }
        guard text.hasPrefix("unix:") else { return [.tcp(try mayBeRemote ? endpoint(text) : socksEndpoint(text))] }
        let path = String(text.dropFirst("unix:".count))
        guard path.hasPrefix("/"), !path.hasSuffix("/"), path.utf8.count <= 107, !path.utf8.contains(0) else {
            throw SettingFault(
                "'\(text)' is not a unix socket: after unix: comes an absolute path of at most 107 bytes")
        }
        return [.unix(path)]
    }

    /// A listen address for apps, or several with one name from systemd; after commas follow its isolation rules.
    package static func proxyListeners(_ text: String, mayBeRemote: Bool) throws(SettingFault) -> [ProxyListener] {
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
                throw SettingFault(
                    "'\(word)' is not a rule for streams: after the address may come destination-host, destination-port, "
                        + "client-address, no-credentials, no-listener, no-protocol or names-only")
            }
        }
        return addresses.map { ProxyListener($0, isolation: listener.isolation, namesOnly: listener.namesOnly) }
    }

    /// The address of an oxend daemon.
    package static func oxendAddress(_ text: String) throws(SettingFault) -> OxendAddress {
        do throws(OxendError) {
            return try OxendAddress(text)
        } catch {
            throw SettingFault(error.description)
        }
    }
}

extension IPAddress {
    /// Whether it is an IPv4 address.
    package var isIPv4: Bool { v4 != nil }
}

internal import FoundationEssentials

/// The environment of a command that must use the proxy for all connections.
enum ProxyEnvironment {
    /// The variables that name a proxy, and its protocol in each.
    ///
    /// Programs that read HTTP_PROXY and HTTPS_PROXY expect an HTTP proxy; few of them support SOCKS5. Many programs look
    /// only at the variable of the address's scheme, and connect directly without it: wget with ftp:, others with ws: and
    /// wss:. curl takes SOCKS5 for ftp:, and wget refuses it.
    private static let names = [
        ("ALL_PROXY", "socks5h"), ("HTTP_PROXY", "http"), ("HTTPS_PROXY", "http"), ("FTP_PROXY", "socks5h"),
        ("WS_PROXY", "http"), ("WSS_PROXY", "http"),
    ]
    /// This process's environment as `NAME=value`, with the proxy at `socks` and the client's control socket.
    static func variables(socks: String, control: String) -> [String] {
        // Other proxies, for one scheme, and exceptions (such as npm_config_noproxy) would let connections bypass this
        // one.
        var variables = ProcessInfo.processInfo.environment.filter { variable in
            let name = variable.key.lowercased()
            return !name.hasSuffix("_proxy") && !name.hasSuffix("noproxy")
        }
        for (name, scheme) in names {
            variables[name] = "\(scheme)://\(socks)"
            variables[name.lowercased()] = "\(scheme)://\(socks)"
        }
        // rsync uses CONNECT, and expects no scheme.
        variables["RSYNC_PROXY"] = socks
        variables["TUNIC_SOCKS"] = socks
        variables["TUNIC_CONTROL"] = control
        return variables.map { "\($0)=\($1)" }
    }
}

internal import FoundationEssentials

/// The environment of a command that must use the proxy for all connections.
enum ProxyEnvironment {
    /// The variables that name a proxy, and its protocol in each.
    ///
    /// Programs that read HTTP_PROXY and HTTPS_PROXY expect an HTTP proxy; few of them support SOCKS5. Many programs
    /// look only at the variable of the address's scheme, and connect directly without it: wget with ftp:, others with
    /// ws: and wss:. curl takes SOCKS5 for ftp:, and wget refuses it.
    private static let names = [
        ("ALL_PROXY", "socks5h"), ("HTTP_PROXY", "http"), ("HTTPS_PROXY", "http"), ("FTP_PROXY", "socks5h"),
        ("WS_PROXY", "http"), ("WSS_PROXY", "http"),
    ]
    /// A user name that no other command has, so that its connections have paths of their own.
    static func newIdentity() -> String { "exec-\(String(UInt64.random(in: 0 ... .max), radix: 16))" }

    /// This process's environment as `NAME=value`, with the proxy at `socks` and the client's control socket.
    ///
    /// Programs that send the user and password of a proxy's URL get the paths of `identity`. Others ignore them, and
    /// share the paths of all programs that send none.
    static func variables(socks: String, control: String, identity: String? = nil) -> [String] {
        // Other proxies, for one scheme, and exceptions (such as npm_config_noproxy) would let connections bypass this
        // one.
        var variables = ProcessInfo.processInfo.environment.filter { variable in
            let name = variable.key.lowercased()
            return !name.hasSuffix("_proxy") && !name.hasSuffix("noproxy")
        }
        let proxy = identity.map { "\($0):x@\(socks)" } ?? socks
        for (name, scheme) in names {
            variables[name] = "\(scheme)://\(proxy)"
            variables[name.lowercased()] = "\(scheme)://\(proxy)"
        }
        // rsync uses CONNECT, and expects no scheme.
        variables["RSYNC_PROXY"] = proxy
        variables["TUNIC_SOCKS"] = socks
        variables["TUNIC_CONTROL"] = control
        return variables.map { "\($0)=\($1)" }
    }
}

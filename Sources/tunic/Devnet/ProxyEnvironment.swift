internal import FoundationEssentials

/// The environment of a command that is to reach everything through the proxy.
enum ProxyEnvironment {
    /// The names that programs look for; those that cannot speak SOCKS5 fail with them, instead of going past the proxy.
    private static let names = ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"]
    /// The names of exceptions, which would let connections past the proxy.
    private static let exceptions = ["NO_PROXY", "no_proxy"]

    /// Our own environment as `NAME=value`, with the proxy at `socks` and the client's control socket.
    static func variables(socks: String, control: String) -> [String] {
        var variables = ProcessInfo.processInfo.environment
        for name in names {
            variables[name] = "socks5h://\(socks)"
            variables[name.lowercased()] = "socks5h://\(socks)"
        }
        for name in exceptions { variables[name] = nil }
        variables["TUNIC_SOCKS"] = socks
        variables["TUNIC_CONTROL"] = control
        return variables.map { "\($0)=\($1)" }
    }
}

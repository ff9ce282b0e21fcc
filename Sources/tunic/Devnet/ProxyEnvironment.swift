internal import FoundationEssentials

/// The environment of a command that is to reach everything through the proxy.
enum ProxyEnvironment {
    /// The names that programs look for, and what they are to speak: every program that looks for the last two speaks HTTP to a
    /// proxy, and few of them SOCKS5.
    private static let names = [("ALL_PROXY", "socks5h"), ("HTTP_PROXY", "http"), ("HTTPS_PROXY", "http")]
    /// The names of exceptions, which would let connections past the proxy.
    private static let exceptions = ["NO_PROXY", "no_proxy"]

    /// Our own environment as `NAME=value`, with the proxy at `socks` and the client's control socket.
    static func variables(socks: String, control: String) -> [String] {
        var variables = ProcessInfo.processInfo.environment
        for (name, scheme) in names {
            variables[name] = "\(scheme)://\(socks)"
            variables[name.lowercased()] = "\(scheme)://\(socks)"
        }
        for name in exceptions { variables[name] = nil }
        variables["TUNIC_SOCKS"] = socks
        variables["TUNIC_CONTROL"] = control
        return variables.map { "\($0)=\($1)" }
    }
}

internal import Wire

/// Instructions to connect apps on this machine to a client's proxy: lines to copy, and a PAC file for browsers.
public struct ProxySetup: Encodable, Sendable, Equatable {
    /// The instructions for one app.
    public struct Line: Encodable, Sendable, Equatable {
        /// The app, and the place for the text.
        public var app: String
        /// The text to copy; it may have several lines.
        public var text: String
    }

    /// The proxy: a numeric loopback address and its port, as in `127.0.0.1:1080`.
    public let address: String
    /// The address of the PAC file, with its secret.
    public var pac: String
    /// The lines, app by app.
    public let lines: [Line]
    /// The file `user.js` of a Firefox profile that uses nothing but the proxy.
    public let firefoxPreferences: String
    /// The options with which Chromium uses nothing but the proxy.
    public let chromiumOptions: [String]

    private enum CodingKeys: String, CodingKey { case address, pac, lines }

    /// The set-up for the first TCP address of `listeners`, named as in a client's report; nil if none is one.
    ///
    /// A further address has rules of its own, so it does not replace the first.
    public init?(listeners: [String], pac: String) {
        guard let endpoint = listeners.lazy.compactMap({ Self.local($0) }).first else { return nil }
        address = endpoint.description
        self.pac = pac
        firefoxPreferences = Self.firefox(endpoint)
        chromiumOptions = Self.chromium(endpoint)
        lines = Self.lines(endpoint)
    }

    /// The address at which apps of this machine reach a listener; nil for a unix socket and for an invalid address.
    private static func local(_ listener: String) -> Endpoint? {
        guard let endpoint = Endpoint(listener), endpoint.port != 0 else { return nil }
        switch endpoint.address.description {
        case "0.0.0.0": return Endpoint("127.0.0.1:\(endpoint.port)")
        case "::": return Endpoint("[::1]:\(endpoint.port)")
        default: return endpoint
        }
    }

    private static func firefox(_ endpoint: Endpoint) -> String {
        """
        user_pref("network.proxy.type", 1);
        user_pref("network.proxy.socks", "\(endpoint.address)");
        user_pref("network.proxy.socks_port", \(endpoint.port));
        user_pref("network.proxy.socks_version", 5);
        user_pref("network.proxy.socks_remote_dns", true);
        user_pref("network.proxy.socks5_remote_dns", true);
        user_pref("network.proxy.http", "");
        user_pref("network.proxy.ssl", "");
        user_pref("network.proxy.no_proxies_on", "");
        user_pref("network.proxy.failover_direct", false);
        user_pref("network.proxy.allow_bypass", false);
        user_pref("media.peerconnection.enabled", false);
        user_pref("network.trr.mode", 5);
        """
    }

    private static func chromium(_ endpoint: Endpoint) -> [String] {
        let host = endpoint.address.v4 != nil ? endpoint.address.description : "[\(endpoint.address)]"
        return [
            "--proxy-server=socks5://\(endpoint)", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE \(host)",
            "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        ]
    }

    private static func lines(_ endpoint: Endpoint) -> [Line] {
        let proxy = endpoint.description
        let variables = [
            ("ALL_PROXY", "socks5h"), ("HTTP_PROXY", "http"), ("HTTPS_PROXY", "http"), ("FTP_PROXY", "socks5h"),
        ]
        return [
            Line(app: "curl", text: "curl --proxy socks5h://\(proxy) https://example.org/"),
            Line(app: "Firefox (user.js in a profile of its own)", text: firefox(endpoint)),
            Line(
                app: "Chromium",
                text: "chromium \(chromium(endpoint).map(quoted).joined(separator: " ")) "
                    + "--user-data-dir=\"$HOME/.chromium-tunic\""),
            Line(app: "git (https)", text: "git config --global http.proxy socks5h://git:x@\(proxy)"),
            Line(app: "ssh (netcat-openbsd)", text: "ssh -o ProxyCommand='nc -X 5 -x \(proxy) %h %p' USER@HOST"),
            Line(
                app: "Environment variables",
                text: "unset NO_PROXY no_proxy\n"
                    + variables.map {
                        "export \($0.0)=\($0.1)://\(proxy) \($0.0.lowercased())=\($0.1)://\(proxy)"
                    }.joined(separator: "\n")),
        ]
    }

    /// An option as a shell takes it.
    private static func quoted(_ option: String) -> String {
        guard option.contains(" "), let equals = option.firstIndex(of: "=") else { return option }
        return "\(option[...equals])'\(option[option.index(after: equals)...])'"
    }

    /// The PAC file: everything except this machine goes to the proxy, as an HTTP proxy, and nothing else is tried.
    ///
    /// A browser gives an HTTP proxy the names of hosts. With SOCKS5 in a PAC file some browsers look names up
    /// themselves (Firefox before 128 does by default), and others know only SOCKS, which they take for SOCKS4. So
    /// SOCKS is no fallback either: while the client does not run, such a browser would ask a name server at each
    /// attempt.
    ///
    /// A page can choose the names in requests. The file therefore asks no name server, and sends a name without a dot
    /// to the proxy too: a search domain of the network, or a top-level domain with an address, would otherwise bypass
    /// the proxy. Only names that browsers resolve to this machine without a look-up are direct.
    public var pacFile: String {
        """
        function FindProxyForURL(url, host) {
          host = String(host).toLowerCase();
          if (host === "localhost" || host === "::1" || host === "[::1]" || /^127(\\.[0-9]{1,3}){3}$/.test(host))
            return "DIRECT";
          return "PROXY \(address)";
        }

        """
    }

    /// The type of ``pacFile``.
    public static let pacType = "application/x-ns-proxy-autoconfig"
}

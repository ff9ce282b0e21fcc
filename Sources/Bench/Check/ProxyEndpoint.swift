public import EventLoop

/// A client's address for apps, as a check uses it.
public enum ProxyEndpoint: CustomStringConvertible {
    /// A TCP address.
    case tcp(SocketAddress)
    /// The path of a unix socket.
    case unix(String)

    /// Chooses one of a client's addresses for apps.
    ///
    /// If `toAddress`, it must accept addresses as targets.
    ///
    /// Among these, the first that isolates users from each other is preferred.
    ///
    /// `addresses` are the client's, and `flags` are the flags of each.
    init(_ addresses: [String], flags: [[String]], toAddress: Bool) throws(CheckFault) {
        let all = addresses.enumerated().compactMap { number, text in
            Self(text).map { (endpoint: $0, flags: number < flags.count ? flags[number] : []) }
        }
        let fit = all.filter { !toAddress || !$0.flags.contains("names-only") }
        guard let best = fit.first(where: { !$0.flags.contains("no-credentials") }) ?? fit.first else {
            throw CheckFault(
                .unavailable,
                all.isEmpty
                    ? "the client has no address for apps that could be used for a check"
                    : "all of the client's addresses for apps let names out only (names-only); check one by its name")
        }
        self = best.endpoint
    }

    private init?(_ text: String) {
        if let address = SocketAddress(text) {
            self = .tcp(address)
        } else if text.hasPrefix("unix:") {
            self = .unix(String(text.dropFirst("unix:".count)))
        } else {
            return nil
        }
    }

    /// The form in which the client names the address.
    public var description: String {
        switch self {
        case .tcp(let address): address.description
        case .unix(let path): "unix:\(path)"
        }
    }
}

public import EventLoop

/// Where a check comes in.
public enum ProxyDoor: CustomStringConvertible {
    /// A TCP address.
    case tcp(SocketAddress)
    /// The path of a unix socket.
    case unix(String)

    /// One of a client's addresses for apps: one that lets out to addresses if that is wanted, by preference one that gives each
    /// user a path of its own.
    ///
    /// `addresses` are the client's, `flags` what goes for each of them.
    init(_ addresses: [String], flags: [[String]], toAddress: Bool) throws(CheckFault) {
        let all = addresses.enumerated().compactMap { number, text in
            Self(text).map { (door: $0, flags: number < flags.count ? flags[number] : []) }
        }
        let fit = all.filter { !toAddress || !$0.flags.contains("names-only") }
        guard let best = fit.first(where: { !$0.flags.contains("no-credentials") }) ?? fit.first else {
            throw CheckFault(
                .unavailable,
                all.isEmpty
                    ? "the client has no address for apps that could be used for a check"
                    : "all of the client's addresses for apps let names out only (names-only); check one by its name")
        }
        self = best.door
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

    /// As the client names it.
    public var description: String {
        switch self {
        case .tcp(let address): address.description
        case .unix(let path): "unix:\(path)"
        }
    }
}

/// An address at which apps can connect, with its isolation.
public struct ProxyListener: Hashable, Sendable {
    /// The address at which apps can connect.
    public var address: ProxyAddress
    /// The attributes that separate the apps' streams.
    public var isolation: Isolation
    /// Whether requests for IP addresses are refused: an app may have looked up the name without Tunic.
    public var namesOnly: Bool

    /// The flags beside the address, in configuration-file syntax.
    public var flags: [String] {
        let kept: [(Isolation, String)] = [
            (.destinationHost, "destination-host"), (.destinationPort, "destination-port"),
            (.clientAddress, "client-address"),
        ]
        let shared: [(Isolation, String)] = [
            (.credentials, "no-credentials"), (.listener, "no-listener"), (.proxyProtocol, "no-protocol"),
        ]
        return kept.filter { isolation.contains($0.0) }.map(\.1) + shared.filter { !isolation.contains($0.0) }.map(\.1)
            + (namesOnly ? ["names-only"] : [])
    }

    /// A listener at `address`.
    public init(_ address: ProxyAddress, isolation: Isolation = .standard, namesOnly: Bool = false) {
        self.address = address
        self.isolation = isolation
        self.namesOnly = namesOnly
    }
}

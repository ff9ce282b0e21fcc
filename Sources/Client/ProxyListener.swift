/// An address at which apps are awaited, and what is kept apart of those that come there.
public struct ProxyListener: Hashable, Sendable {
    /// Where apps are awaited.
    public var address: ProxyAddress
    /// What keeps their streams apart.
    public var isolation: Isolation
    /// Whether requests for addresses are refused, which apps may have got by looking names up without Tunic.
    public var namesOnly: Bool

    /// What was said of it beside the address, in the words of the configuration.
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

    /// Apps awaited at `address`.
    public init(_ address: ProxyAddress, isolation: Isolation = .standard, namesOnly: Bool = false) {
        self.address = address
        self.isolation = isolation
        self.namesOnly = namesOnly
    }
}

/// An address at which apps are awaited, and what is kept apart of those that come there.
public struct ProxyListener: Hashable, Sendable {
    /// Where apps are awaited.
    public var address: ProxyAddress
    /// What keeps their streams apart.
    public var isolation: Isolation
    /// Whether requests for addresses are refused, which apps may have got by looking names up without Tunic.
    public var namesOnly: Bool

    /// Apps awaited at `address`.
    public init(_ address: ProxyAddress, isolation: Isolation = .standard, namesOnly: Bool = false) {
        self.address = address
        self.isolation = isolation
        self.namesOnly = namesOnly
    }
}

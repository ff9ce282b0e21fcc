/// Where an exit opens connections to: the one place that decides it, for TCP, UDP and resolved names alike.
///
/// It is asked about the address that is connected to, after a name is resolved, and again for each further address. By
/// default it lets out only to public addresses that are not the exit's own. Port 25, port 0 and, for UDP, the ports
/// of the usual amplifiers are closed whatever else is allowed.
public struct ExitPolicy: Sendable {
    /// How the destination is spoken to.
    public enum Transport: Sendable, CaseIterable {
        /// A TCP connection.
        case tcp
        /// UDP datagrams.
        case udp
    }

    /// Ranges that may be reached although they are special or the exit's own.
    public let allowed: [CIDR]
    /// The exit's own addresses: those of its interfaces and the one it announces.
    public let own: Set<IPAddress>

    /// Ports of UDP services that answer with more than they are asked: chargen, NTP, SNMP, LDAP, SSDP, memcached.
    private static let amplifiers: [UInt16] = [19, 123, 161, 389, 1900, 11211]

    /// The operator's own rules, the first that fits counts; what none names is accepted.
    public var rules: [ExitRule]

    /// A policy that lets out to public addresses other than `own`, and to all of `allowed`, as far as `rules` accept it.
    public init(allowed: [CIDR] = [], own: Set<IPAddress> = [], rules: [ExitRule] = []) {
        self.allowed = allowed
        self.own = own
        self.rules = rules
    }

    /// Whether a look-up may have to do with `address`: none tells, or asks for, what cannot be connected to.
    ///
    /// That is asked of port 443, the operator's rules among it (protocol.md, section 7.1).
    public func answers(_ address: IPAddress) -> Bool { allows(address, port: 443, .tcp) }

    /// Whether a connection to `port` at `address` may be opened.
    ///
    /// A NAT64 or 6to4 address is judged by the IPv4 address that it leads to.
    public func allows(_ address: IPAddress, port: UInt16, _ transport: Transport) -> Bool {
        guard port != 0, port != 25 else { return false }
        if transport == .udp, Self.amplifiers.contains(port) { return false }
        if !rules.isEmpty, !accepts(address, port: port) { return false }
        return isOpen(address)
    }

    /// Whether anything at `address` may be reached.
    private func isOpen(_ address: IPAddress) -> Bool {
        if allowed.contains(where: { $0.contains(address) }) { return true }
        if own.contains(address) { return false }
        guard let embedded = address.embeddedV4 else { return address.isPublic }
        let target = IPAddress(v4: embedded)
        if allowed.contains(where: { $0.contains(target) }) { return true }
        return target.isPublic && !own.contains(target)
    }

    /// What the operator's rules say of an address, and of the IPv4 address that it may lead to.
    private func accepts(_ address: IPAddress, port: UInt16) -> Bool {
        func verdict(_ address: IPAddress) -> Bool {
            rules.first { $0.fits(address, port: port) }?.accepts ?? true
        }
        return verdict(address) && (address.embeddedV4.map { verdict(IPAddress(v4: $0)) } ?? true)
    }
}

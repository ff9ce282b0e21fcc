/// The destinations to which an exit opens connections, for TCP, UDP and resolved names; no other code decides this.
///
/// It is checked for the address of each connection, after a name is resolved, and again for each further address. By
/// default it allows only public addresses that are not the exit's own. Port 25, port 0 and, for UDP, the ports of
/// common amplifiers are closed whatever the rules allow.
public struct ExitPolicy: Sendable {
    /// The transport protocol to the destination.
    public enum Transport: Sendable, CaseIterable {
        /// A TCP connection.
        case tcp
        /// UDP datagrams.
        case udp
    }

    /// Ranges that are allowed although they are special or the exit's own.
    public let allowed: [CIDR]
    /// The exit's own addresses: those of its interfaces and the announced one.
    public let own: Set<IPAddress>

    /// Ports of UDP services whose answers are larger than the requests: chargen, NTP, SNMP, LDAP, SSDP, memcached.
    private static let amplifiers: [UInt16] = [19, 123, 161, 389, 1900, 11211]

    /// The operator's own rules; the first match decides, and a destination without a match is accepted.
    public var rules: [ExitRule]

    /// A policy that allows public addresses other than `own`, and all of `allowed`, as far as `rules` accept them.
    public init(allowed: [CIDR] = [], own: Set<IPAddress> = [], rules: [ExitRule] = []) {
        self.allowed = allowed
        self.own = own
        self.rules = rules
    }

    /// Whether a look-up may ask for or return `address`: only if a connection to it would be allowed.
    ///
    /// The check uses port 443 and includes the operator's rules (protocol.md, section 7.1).
    public func answers(_ address: IPAddress) -> Bool { allows(address, port: 443, .tcp) }

    /// Whether a connection to `port` at `address` may be opened.
    ///
    /// A NAT64 or 6to4 address is judged by the IPv4 address in it.
    public func allows(_ address: IPAddress, port: UInt16, _ transport: Transport) -> Bool {
        guard port != 0, port != 25 else { return false }
        if transport == .udp, Self.amplifiers.contains(port) { return false }
        if !rules.isEmpty, !accepts(address, port: port) { return false }
        return isOpen(address)
    }

    /// Whether any connection to `address` may be opened.
    private func isOpen(_ address: IPAddress) -> Bool {
        if allowed.contains(where: { $0.contains(address) }) { return true }
        if own.contains(address) { return false }
        guard let embedded = address.embeddedV4 else { return address.isPublic }
        let target = IPAddress(v4: embedded)
        if allowed.contains(where: { $0.contains(target) }) { return true }
        return target.isPublic && !own.contains(target)
    }

    /// Whether the operator's rules accept an address, and the IPv4 address that may be embedded in it.
    private func accepts(_ address: IPAddress, port: UInt16) -> Bool {
        func verdict(_ address: IPAddress) -> Bool {
            rules.first { $0.fits(address, port: port) }?.accepts ?? true
        }
        return verdict(address) && (address.embeddedV4.map { verdict(IPAddress(v4: $0)) } ?? true)
    }
}

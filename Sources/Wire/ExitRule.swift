/// One rule of an exit policy in Tor's syntax: `accept 192.0.2.0/24:80`, `reject *:6881-6999`, `reject6 *:*`,
/// `reject private:*`.
public struct ExitRule: Hashable, Sendable {
    /// The addresses that a rule matches.
    public enum Addresses: Hashable, Sendable {
        /// All addresses.
        case all
        /// All IPv4 addresses.
        case ipv4
        /// All IPv6 addresses.
        case ipv6
        /// Tor's `private`: this network, loopback, link-local, private, site-local and multicast addresses.
        case `private`
        /// The addresses of a range.
        case range(CIDR)
    }

    /// The ranges that Tor's manual lists for `private`.
    private static let privateRanges = [
        "0.0.0.0/8", "169.254.0.0/16", "127.0.0.0/8", "192.168.0.0/16", "10.0.0.0/8", "172.16.0.0/12",
        "::/8", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    ].compactMap { CIDR($0) }

    /// Whether matching destinations are accepted.
    public let accepts: Bool
    /// The addresses that it matches.
    public let addresses: Addresses
    /// The ports that it matches.
    public let ports: ClosedRange<UInt16>

    /// Reads a rule; nil if it is not valid.
    ///
    /// The rule has `accept` or `reject`, with a 6 appended for IPv6 only. Then comes an address, a range (for IPv4
    /// also with a mask), `*`, `*4`, `*6` or `private`, which always includes both families. After a colon comes a
    /// port, `from-to` or `*`; without a colon the rule has all ports.
    public init?(_ text: some StringProtocol) {
        let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" })
        guard words.count == 2 else { return nil }
        let onlyIPv6: Bool
        switch words[0].lowercased() {
        case "accept": (accepts, onlyIPv6) = (true, false)
        case "reject": (accepts, onlyIPv6) = (false, false)
        case "accept6": (accepts, onlyIPv6) = (true, true)
        case "reject6": (accepts, onlyIPv6) = (false, true)
        default: return nil
        }
        // The colon before the ports is the last one, unless it is within an IPv6 address.
        var place = String(words[1])
        var portText = "*"
        let closing = place.lastIndex(of: "]")
        if let colon = place.lastIndex(of: ":"), closing.map({ $0 < colon }) ?? true,
            closing != nil || place.filter({ $0 == ":" }).count == 1
        {
            portText = String(place[place.index(after: colon)...])
            place = String(place[..<colon])
        }
        guard let ports = Self.ports(portText) else { return nil }
        self.ports = ports
        switch place {
        case "*": addresses = onlyIPv6 ? .ipv6 : .all
        case "*4": addresses = .ipv4
        case "*6": addresses = .ipv6
        case "private": addresses = .private
        default:
            // An IPv6 range is written [2001:db8::]/32 or [2001:db8::/32].
            guard place.hasPrefix("[") == place.contains("]") else { return nil }
            let bare = place.replacing("[", with: "").replacing("]", with: "")
            guard let range = CIDR(bare) ?? Self.masked(bare), !onlyIPv6 || range.address.v4 == nil else { return nil }
            addresses = .range(range)
        }
    }

    private static func ports(_ text: String) -> ClosedRange<UInt16>? {
        if text == "*" { return 0...(.max) }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { part in
            decimal(Array(part.utf8)[...], upTo: 65_535).map { UInt16($0) }
        }
        switch parts.count {
        case 1: return parts[0].map { $0...$0 }
        case 2:
            guard let first = parts[0], let last = parts[1], first <= last else { return nil }
            return first...last
        default: return nil
        }
    }

    /// An IPv4 range whose prefix is written as a mask: `18.0.0.0/255.0.0.0`.
    private static func masked(_ text: String) -> CIDR? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(String(parts[0])), address.v4 != nil,
            let mask = IPAddress(String(parts[1]))?.v4, (~mask) & (~mask &+ 1) == 0
        else { return nil }
        return CIDR(address, prefixLength: mask.nonzeroBitCount)
    }

    /// Whether it matches `port` at `address`.
    public func fits(_ address: IPAddress, port: UInt16) -> Bool {
        guard ports.contains(port) else { return false }
        return switch addresses {
        case .all: true
        case .ipv4: address.v4 != nil
        case .ipv6: address.v4 == nil
        case .private: Self.privateRanges.contains { $0.contains(address) }
        case .range(let range): range.contains(address)
        }
    }
}

/// One line of an exit policy in Tor's words: `accept 192.0.2.0/24:80`, `reject *:6881-6999`, `reject6 *:*`.
public struct ExitRule: Hashable, Sendable {
    /// Which addresses it is about.
    public enum Addresses: Hashable, Sendable {
        /// All of them.
        case all
        /// All IPv4 addresses.
        case ipv4
        /// All IPv6 addresses.
        case ipv6
        /// Those of a range.
        case range(CIDR)
    }

    /// Whether what it fits is accepted.
    public let accepts: Bool
    /// Which addresses it is about.
    public let addresses: Addresses
    /// Which ports it is about.
    public let ports: ClosedRange<UInt16>

    /// Reads a line; nil where it is none.
    ///
    /// Words: `accept` and `reject`, with a 6 behind them for IPv6 alone; then an address, a range or `*` (or `*4`, `*6`),
    /// and behind a colon a port, `from-to` or `*`; without a colon all ports.
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
        default:
            // An IPv6 range is written [2001:db8::]/32 or [2001:db8::/32].
            guard place.hasPrefix("[") == place.contains("]") else { return nil }
            let bare = place.replacing("[", with: "").replacing("]", with: "")
            guard let range = CIDR(bare), !onlyIPv6 || range.address.v4 == nil else { return nil }
            addresses = .range(range)
        }
    }

    private static func ports(_ text: String) -> ClosedRange<UInt16>? {
        if text == "*" { return 0...(.max) }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
        switch parts.count {
        case 1: return parts[0].map { $0...$0 }
        case 2:
            guard let first = parts[0], let last = parts[1], first <= last else { return nil }
            return first...last
        default: return nil
        }
    }

    /// Whether it is about `port` at `address`.
    public func fits(_ address: IPAddress, port: UInt16) -> Bool {
        guard ports.contains(port) else { return false }
        return switch addresses {
        case .all: true
        case .ipv4: address.v4 != nil
        case .ipv6: address.v4 == nil
        case .range(let range): range.contains(address)
        }
    }
}

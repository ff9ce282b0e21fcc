public import Wire

/// Names that must not be sent to a name server (RFC 6761, 6762, 7686, 9476), and names of nodes and services.
public enum LocalName: Sendable {
    /// A name of this machine.
    case localhost
    /// A name that does not exist in the DNS.
    case nowhere
    /// A name of a node.
    case node

    /// Classifies `name` by its last label; nil for a name that an exit may look up.
    public init?(_ name: HostName) {
        switch name.text.utf8.split(separator: UInt8(ascii: ".")).last.map({ String(decoding: $0, as: UTF8.self) }) {
        case "localhost": self = .localhost
        case "alt", "invalid", "local", "onion": self = .nowhere
        // Services of Tunic and of Lokinet: an address can be a secret of those who use it.
        case "loki", "tunic": self = .nowhere
        case "snode": self = .node
        default: return nil
        }
    }

    /// The top-level names of home and company networks, which the DNS does not have (RFC 6762, appendix G; `internal`
    /// is ICANN's; `localdomain` is the domain of machines that have none).
    private static let ofNetworks: Set<String> = [
        "internal", "intranet", "private", "corp", "home", "lan", "localdomain",
    ]

    /// Whether a look-up of `name` shows the network that this machine is in.
    ///
    /// It does if the name is below a top-level name of such networks, below `home.arpa` (RFC 8375), or below the
    /// reverse name of an address that is not public (RFC 6303).
    public static func isOfOwnNetwork(_ name: HostName) -> Bool {
        let labels = name.text.split(separator: ".").reversed().map(String.init)
        guard labels[0] == "arpa" else { return ofNetworks.contains(labels[0]) }
        guard labels.count > 1 else { return false }
        switch labels[1] {
        case "home": return true
        case "in-addr":
            // The reverse name of a network has fewer numbers than that of an address.
            let bytes = labels.dropFirst(2).prefix(4).map { UInt8($0) }.prefix { $0 != nil }
            let value = bytes.enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element ?? 0) << (24 - 8 * $1.offset) }
            return !bytes.isEmpty && !IPAddress(v4: value).isPublic
        case "ip6":
            let digits = labels.dropFirst(2).prefix(16).map { UInt8($0, radix: 16) }.prefix { $0 ?? 16 < 16 }
            let high = digits.enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element ?? 0) << (60 - 4 * $1.offset) }
            return !digits.isEmpty && !IPAddress(high: high, low: 0).isPublic
        default: return false
        }
    }

    /// Whether `name` is one of this machine, or of the network that it is in; every name without a dot counts.
    public static func isOwn(_ name: HostName) -> Bool {
        let isBare = !name.text.utf8.contains(UInt8(ascii: "."))
        return isBare || LocalName(name) == .localhost || isOfOwnNetwork(name)
    }

    /// Whether `name` must not be sent to an exit in any network.
    public static func isNowhere(_ name: HostName) -> Bool {
        switch LocalName(name) {
        case .nowhere, .node: true
        case .localhost, nil: false
        }
    }
}

internal import Wire

/// Names that no name server has to hear of (RFC 6761, 6762, 7686), and those of nodes.
enum LocalName {
    /// The machine's own.
    case localhost
    /// There is no such name in the DNS.
    case nowhere
    /// A node's.
    case node

    /// What `name` is by its last label; nil for a name that may be asked for.
    init?(_ name: HostName) {
        switch name.text.utf8.split(separator: UInt8(ascii: ".")).last.map({ String(decoding: $0, as: UTF8.self) }) {
        case "localhost": self = .localhost
        case "invalid", "local", "onion": self = .nowhere
        case "snode": self = .node
        default: return nil
        }
    }

    /// Whether `name` is one that no exit is asked for; `localhost` is the exit's, as its policy says.
    static func isNowhere(_ name: HostName) -> Bool {
        switch LocalName(name) {
        case .nowhere, .node: true
        case .localhost, nil: false
        }
    }
}

internal import Wire

/// Names that must not be sent to a name server (RFC 6761, 6762, 7686), and names of nodes.
enum LocalName {
    /// A name of this machine.
    case localhost
    /// A name that does not exist in the DNS.
    case nowhere
    /// A name of a node.
    case node

    /// Classifies `name` by its last label; nil for a name that an exit may look up.
    init?(_ name: HostName) {
        switch name.text.utf8.split(separator: UInt8(ascii: ".")).last.map({ String(decoding: $0, as: UTF8.self) }) {
        case "localhost": self = .localhost
        case "invalid", "local", "onion": self = .nowhere
        case "snode": self = .node
        default: return nil
        }
    }

    /// Whether `name` must not be sent to an exit; `localhost` is sent, and the exit's policy decides.
    static func isNowhere(_ name: HostName) -> Bool {
        switch LocalName(name) {
        case .nowhere, .node: true
        case .localhost, nil: false
        }
    }
}

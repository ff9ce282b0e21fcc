internal import Directory
internal import Registry
internal import Requests
internal import Swarm
internal import Watch
internal import Wire

/// The control messages that a node accepts, by the module that declares them.
///
/// Each family is a closed list. A new message must have its place in every switch before the node compiles.
enum RelayMessage: Hashable {
    case path(PathMessage)
    case directory(DirectoryMessage)
    case ledger(LedgerMessage)
    case watch(WatchMessage)
    case request(RequestMessage)
    case swarm(SwarmMessage)

    /// The kinds of all messages, for the node's links.
    static let kinds =
        PathMessage.kinds + DirectoryMessage.kinds + LedgerMessage.kinds + WatchMessage.kinds + RequestMessage.kinds
        + SwarmMessage.kinds

    /// The message with the first byte `raw`; nil if no module declares it.
    init?(raw: UInt8) {
        if let message = PathMessage(rawValue: raw) {
            self = .path(message)
        } else if let message = DirectoryMessage(rawValue: raw) {
            self = .directory(message)
        } else if let message = LedgerMessage(rawValue: raw) {
            self = .ledger(message)
        } else if let message = WatchMessage(rawValue: raw) {
            self = .watch(message)
        } else if let message = RequestMessage(rawValue: raw) {
            self = .request(message)
        } else if let message = SwarmMessage(rawValue: raw) {
            self = .swarm(message)
        } else {
            return nil
        }
    }

    /// The kind of the message, for a link.
    var kind: MessageKind {
        switch self {
        case .path(let message): message.kind
        case .directory(let message): message.kind
        case .ledger(let message): message.kind
        case .watch(let message): message.kind
        case .request(let message): message.kind
        case .swarm(let message): message.kind
        }
    }
}

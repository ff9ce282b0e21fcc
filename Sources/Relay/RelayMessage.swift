internal import Directory
internal import Registry
internal import Requests
internal import Watch
internal import Wire

/// The control messages that a node takes, by the module that declares them.
///
/// Each family is a closed list, so that a new message has its place in every switch before the node compiles.
enum RelayMessage: Hashable {
    case path(PathMessage)
    case directory(DirectoryMessage)
    case ledger(LedgerMessage)
    case watch(WatchMessage)
    case request(RequestMessage)

    /// All of them, for the node's links.
    static let kinds =
        PathMessage.kinds + DirectoryMessage.kinds + LedgerMessage.kinds + WatchMessage.kinds + RequestMessage.kinds

    /// The message that begins with `raw`; nil for one that no module declares.
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
        } else {
            return nil
        }
    }

    /// The message as a link knows it.
    var kind: MessageKind {
        switch self {
        case .path(let message): message.kind
        case .directory(let message): message.kind
        case .ledger(let message): message.kind
        case .watch(let message): message.kind
        case .request(let message): message.kind
        }
    }
}

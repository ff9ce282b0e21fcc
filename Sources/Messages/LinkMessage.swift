public import Wire

/// The control messages that the link itself sends and answers (protocol.md, section 8).
public enum LinkMessage: UInt8, MessageFamily {
    /// Renews the link's keys.
    case rekey = 3
    /// Ends the link.
    case close = 4

    /// The lane of these messages; they have places of their own.
    public var lane: MessageLane { .link }

    /// The longest body in bytes.
    public var longestBody: Int {
        switch self {
        case .rekey: 100
        case .close: 0
        }
    }

    /// The longest answer in bytes.
    public var longestAnswer: Int {
        switch self {
        case .rekey: 100
        case .close: 0
        }
    }
}

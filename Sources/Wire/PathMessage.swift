/// The control messages that build and end paths (protocol.md, section 8).
public enum PathMessage: UInt8, MessageFamily {
    /// Builds a path.
    case build = 1
    /// Ends a path, named by the receiver's id for it.
    case destroy = 2

    /// Builds have places of their own.
    public var lane: MessageLane {
        switch self {
        case .build: .builds
        case .destroy: .usual
        }
    }

    /// The longest body in bytes.
    public var longestBody: Int {
        switch self {
        case .build: BuildMessage.size
        case .destroy: DestroyMessage.size
        }
    }

    /// The longest answer in bytes.
    public var longestAnswer: Int {
        switch self {
        case .build: BuildMessage.builtSize
        case .destroy: 0
        }
    }
}

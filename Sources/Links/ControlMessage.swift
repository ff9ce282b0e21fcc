/// The types of control messages (protocol.md, section 8); the raw value is the first byte of their stream.
public enum ControlMessage: UInt8, CaseIterable, Sendable {
    /// Builds a path.
    case build = 1
    /// Ends a path.
    case destroy = 2
    /// Renews the link's keys; handled by the link itself.
    case rekey = 3
    /// Ends the link; handled by the link itself.
    case close = 4
    /// Asks for a newer snapshot.
    case getSnapshot = 5
    /// Asks for descriptors published since a time.
    case getDescriptors = 6
    /// Asks for one node's descriptor.
    case getDescriptor = 7
    /// Brings descriptors.
    case publish = 8

    /// The longest body in bytes; a longer one resets the stream.
    public var longestBody: Int {
        switch self {
        case .build: 4_968
        case .destroy: 8
        case .rekey: 100
        case .close: 0
        case .getSnapshot, .getDescriptors: 8
        case .getDescriptor: 32
        case .publish: 262_144
        }
    }

    /// The longest answer in bytes; a longer one resets the stream.
    public var longestAnswer: Int {
        switch self {
        case .build: 456
        case .destroy, .close, .publish: 0
        case .rekey: 100
        case .getSnapshot, .getDescriptors: 16 << 20
        case .getDescriptor: 65_535
        }
    }
}

/// Why a control message had no answer.
public enum ControlFailure: Error, Equatable, Sendable {
    /// The other end refused it, or does not know its type.
    case refused
    /// No answer came in time.
    case timedOut
    /// The link is gone.
    case linkDown
    /// The link has as many messages under way as it may, or the body is too long.
    case limit
}

/// The right to answer one control message, once; hand it to `Links.answer` or `Links.refuse`.
///
/// When neither happens in time, the message is refused by itself.
public struct ControlResponder: Hashable, Sendable {
    /// The link on which the message came.
    public let link: LinkID
    /// The stream of the message.
    let stream: UInt64
}

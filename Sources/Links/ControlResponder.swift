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

/// The right to answer one control message, once; hand it to `Links.answer` or `Links.refuse`.
///
/// When neither happens in time, the message is refused by itself.
public struct ControlResponder: Hashable, Sendable {
    /// The link on which the message came.
    public let link: LinkID
    /// The stream of the message.
    let stream: UInt64
}

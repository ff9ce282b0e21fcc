/// The right to answer one control message, once, with `Links.answer` or `Links.refuse`.
///
/// A message that is not answered in time is refused.
public struct ControlResponder: Hashable, Sendable {
    /// The link on which the message came.
    public let link: LinkID
    /// The stream of the message.
    let stream: UInt64
}

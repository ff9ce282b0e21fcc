internal import Wire

/// Which addresses that an exit has found an app may be told.
///
/// An exit or a name's owner that answers with an address of this machine or of its network would lead an app to what is behind
/// its firewall (DNS rebinding).
final class AnswerRule {
    /// Whether answers may hold addresses that are not public.
    var allowsPrivate: Bool

    init(allowsPrivate: Bool) { self.allowsPrivate = allowsPrivate }

    /// Whether an app may be told `address`.
    func mayTell(_ address: IPAddress) -> Bool { allowsPrivate || address.leadsToPublic }
}

internal import Wire

/// Decides which addresses in an exit's answers an app may be told.
///
/// An exit, or the owner of a name, could answer with an address of this machine or of its network. That would lead the
/// app to hosts behind the firewall (DNS rebinding).
final class AnswerRule {
    /// Whether answers may contain addresses that are not public.
    var allowsPrivate: Bool

    init(allowsPrivate: Bool) { self.allowsPrivate = allowsPrivate }

    func mayTell(_ address: IPAddress) -> Bool { allowsPrivate || address.leadsToPublic }
}

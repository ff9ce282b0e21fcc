internal import DNSProtocol
internal import Wire

/// Keeps this machine's own network and exits apart: what an exit may be asked for, and which addresses in its answers
/// an app may be told.
///
/// An exit, or the owner of a name, could answer with an address of this machine or of its network. That would lead the
/// app to hosts behind the firewall (DNS rebinding).
final class AnswerRule {
    /// Whether exits may be asked for, and answer with, addresses that are not public, as in a network for tests.
    var allowsPrivate: Bool

    init(allowsPrivate: Bool) { self.allowsPrivate = allowsPrivate }

    func mayTell(_ address: IPAddress) -> Bool { allowsPrivate || address.leadsToPublic }

    /// Whether an exit may be asked to reach `host` or to look it up.
    ///
    /// No exit reaches hosts of this machine's own network. It would see their names and addresses, though, by which it
    /// could recognise the user, and what the app sends ahead: an HTTP request with its cookies, for example.
    func mayAsk(for host: Destination.Host) -> Bool {
        switch host {
        case .address(let address): allowsPrivate || address.leadsToPublic
        case .name(let name): !LocalName.isNowhere(name) && (allowsPrivate || !LocalName.isOwn(name))
        }
    }

    /// The answer in place of an exit's for `host`; nil if an exit may be asked.
    func refusal(of host: Destination.Host) -> OpenReply.Status? {
        guard !mayAsk(for: host) else { return nil }
        return switch host {
        case .name: .hostNotFound
        case .address: .notAllowed
        }
    }
}

internal import Links
internal import Onion
internal import Wire

/// What a client does with control messages and when links go: it serves nobody.
final class ClientMessages: ControlHandler {
    /// The control messages that a client takes.
    static let kinds = [PathMessage.destroy.kind]

    private let links: Links
    private let pool: PathPool

    init(links: Links, pool: PathPool) {
        self.links = links
        self.pool = pool
    }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        switch PathMessage(rawValue: message.raw) {
        case .destroy:
            if let message = DestroyMessage(body) { pool.destroy(message.pathID, from: link) }
            links.answer(responder, [])
        case .build, nil: links.refuse(responder)
        }
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {}
    func linkDown(_ link: LinkID, reason: LinkDownReason) { pool.linkEnded(link) }
}

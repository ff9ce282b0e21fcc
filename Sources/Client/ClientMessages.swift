internal import Links
internal import Onion
internal import Wire

/// What a client does with control messages and when links go: it serves nobody.
final class ClientMessages: ControlHandler {
    private let links: Links
    private let pool: PathPool

    init(links: Links, pool: PathPool) {
        self.links = links
        self.pool = pool
    }

    func received(_ message: ControlMessage, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        switch message {
        case .destroy:
            var reader = ByteReader(body.rawSpan)
            if let pathID = try? reader.u64(), reader.remaining == 0 { pool.destroy(pathID, from: link) }
            links.answer(responder, [])
        default:
            // A client serves nobody.
            links.refuse(responder)
        }
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {}
    func linkDown(_ link: LinkID, reason: LinkDownReason) { pool.linkEnded(link) }
}

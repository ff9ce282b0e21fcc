internal import Links
internal import Onion
internal import Wire

/// What a relay does with control messages and when links come and go.
final class RelayMessages: ControlHandler {
    private let links: Links
    private let paths: PathService
    private let gossip: Gossip
    private let epochs: Epochs
    private let lists: Lists
    private let ledger: LedgerService?
    private let watching: Watching
    private var peers: [LinkID: LinkPeer] = [:]

    init(
        links: Links, paths: PathService, gossip: Gossip, epochs: Epochs, lists: Lists, ledger: LedgerService?,
        watching: Watching
    ) {
        self.links = links
        self.paths = paths
        self.gossip = gossip
        self.epochs = epochs
        self.lists = lists
        self.ledger = ledger
        self.watching = watching
    }

    func received(_ message: ControlMessage, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        switch message {
        case .build:
            paths.build(body, from: link, isNode: peers[link]?.node != nil, responder)
        case .destroy:
            if let pathID = number(body) { paths.destroy(pathID, from: link) }
            links.answer(responder, [])
        case .getSnapshot: epochs.answerSnapshot(body, responder)
        case .getSnapshotID: answer(responder, epochs.snapshotID(for: body, list: lists.certified))
        case .getSignatures: epochs.answerSignatures(body, responder)
        case .signatures:
            guard let peer = peers[link]?.node else { return links.refuse(responder) }
            epochs.takeSignatures(body, from: peer)
            links.answer(responder, [])
        case .getDescriptors:
            guard let time = number(body) else { return links.refuse(responder) }
            gossip.answer(since: UnixTime(seconds: time), responder)
        case .getDescriptorChanges: gossip.answerChanges(body, responder)
        case .getDescriptor:
            guard let id = Bytes32(body) else { return links.refuse(responder) }
            links.answer(responder, gossip.descriptor(of: NodeID(id)))
        case .publish:
            // Only nodes have descriptors to publish.
            guard peers[link]?.node != nil else { return links.refuse(responder) }
            gossip.take(body, from: link)
            links.answer(responder, [])
        case .getList: answer(responder, lists.list(for: body))
        case .getListed: lists.answerListed(body, responder)
        case .listSignatures, .getListSignatures, .getProposal:
            guard let peer = peers[link]?.node else { return links.refuse(responder) }
            agree(message, body, peer, responder)
        case .getBlocks, .announce, .submit, .prepare, .propose, .commit, .final:
            guard let ledger else { return links.refuse(responder) }
            ledger.received(message, body, from: peers[link]?.node, responder)
        case .suspect, .votes, .linkBack:
            guard let peer = peers[link]?.node else { return links.refuse(responder) }
            watch(message, body, peer, responder)
        default: links.refuse(responder)
        }
    }

    /// What nodes say to each other about others.
    private func watch(_ message: ControlMessage, _ body: [UInt8], _ peer: NodeID, _ responder: ControlResponder) {
        switch message {
        case .suspect: answer(responder, watching.suspect(body, from: peer))
        case .votes: answer(responder, watching.votes(body, from: peer))
        default: watching.linkBack(from: peer) { [weak self] in self?.answer(responder, $0) }
        }
    }

    /// What nodes say to each other about a list of descriptors to come.
    private func agree(_ message: ControlMessage, _ body: [UInt8], _ peer: NodeID, _ responder: ControlResponder) {
        switch message {
        case .listSignatures:
            lists.takeSignatures(body, from: peer)
            links.answer(responder, [])
        case .getListSignatures: lists.answerSignatures(body, responder)
        default: answer(responder, lists.proposal(for: body))
        }
    }

    private func answer(_ responder: ControlResponder, _ body: [UInt8]?) {
        if let body { links.answer(responder, body) } else { links.refuse(responder) }
    }

    private func number(_ body: [UInt8]) -> UInt64? {
        var reader = ByteReader(body.rawSpan)
        guard let value = try? reader.u64(), reader.remaining == 0 else { return nil }
        return value
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {
        peers[link] = peer
        if let node = peer.node {
            gossip.linkUp(link, node)
            ledger?.linkUp(link, node)
        } else {
            watching.clientCame()
        }
    }

    func linkDown(_ link: LinkID, reason: LinkDownReason) {
        let node = peers.removeValue(forKey: link)?.node
        if let node { gossip.linkDown(link, node) }
        ledger?.linkDown(link, node)
        paths.linkEnded(link)
    }
}

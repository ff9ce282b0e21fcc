internal import Directory
internal import Links
internal import Onion
internal import Registry
internal import Watch
internal import Wire

/// Hands control messages to the relay's parts, and tells them when links come up and end.
final class RelayMessages: ControlHandler {
    private let links: Links
    private let paths: PathService
    private let builds: BuildService
    private let directory: RelayDirectory
    private let ledger: LedgerService?
    private let watching: Watching
    private let requests: RequestService
    private let swarm: SwarmService?
    private var peers: [LinkID: LinkPeer] = [:]

    init(
        links: Links, paths: PathService, builds: BuildService, directory: RelayDirectory, ledger: LedgerService?,
        watching: Watching, requests: RequestService, swarm: SwarmService?
    ) {
        self.links = links
        self.paths = paths
        self.builds = builds
        self.directory = directory
        self.ledger = ledger
        self.watching = watching
        self.requests = requests
        self.swarm = swarm
    }

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        switch RelayMessage(raw: message.raw) {
        case .path(let message): path(message, body, link, responder)
        case .directory(let message): self.directory(message, body, link, responder)
        case .ledger(let message):
            guard let ledger else { return links.refuse(responder) }
            ledger.received(message, body, from: peers[link]?.node, responder)
        case .watch(let message):
            guard let peer = peers[link]?.node else { return links.refuse(responder) }
            watch(message, body, peer, responder)
        case .request(let message):
            guard let peer = peers[link]?.node else { return links.refuse(responder) }
            requests.received(message, body, from: peer, responder)
        case .swarm(let message):
            guard let swarm, let peer = peers[link]?.node else { return links.refuse(responder) }
            swarm.received(message, body, from: peer, responder)
        // No module declares this message.
        case nil: links.refuse(responder)
        }
    }

    private func path(_ message: PathMessage, _ body: [UInt8], _ link: LinkID, _ responder: ControlResponder) {
        switch message {
        case .build: builds.build(body, from: link, isNode: peers[link]?.node != nil, responder)
        case .destroy:
            if let message = DestroyMessage(body) { paths.destroy(message.pathID, from: link) }
            links.answer(responder, [])
        }
    }

    private func directory(
        _ message: DirectoryMessage, _ body: [UInt8], _ link: LinkID, _ responder: ControlResponder
    ) {
        let (gossip, epochs, lists) = (directory.gossip, directory.epochs, directory.lists)
        switch message {
        case .getSnapshot: epochs.answerSnapshot(body, responder)
        case .getSnapshotID: answer(responder, epochs.snapshotID(for: body, list: lists.certified))
        case .getSignatures: epochs.answerSignatures(body, responder)
        case .getDescriptors:
            guard let time = number(body) else { return links.refuse(responder) }
            directory.answers.answer(since: UnixTime(seconds: time), responder)
        case .getDescriptorChanges: directory.answers.answerChanges(body, responder)
        case .getDescriptor:
            guard let id = Bytes32(body) else { return links.refuse(responder) }
            links.answer(responder, directory.answers.descriptor(of: NodeID(id)))
        case .getList: answer(responder, lists.list(for: body))
        case .getListed: lists.answerListed(body, responder)
        // Only nodes send these messages.
        case .publish:
            guard peers[link]?.node != nil else { return links.refuse(responder) }
            gossip.take(body, from: link)
            links.answer(responder, [])
        case .signatures:
            guard let peer = peers[link]?.node else { return links.refuse(responder) }
            epochs.takeSignatures(body, from: peer)
            links.answer(responder, [])
        case .listSignatures:
            guard let peer = peers[link]?.node else { return links.refuse(responder) }
            lists.takeSignatures(body, from: peer)
            links.answer(responder, [])
        case .getListSignatures:
            guard peers[link]?.node != nil else { return links.refuse(responder) }
            lists.answerSignatures(body, responder)
        case .getProposal: answer(responder, peers[link]?.node != nil ? lists.proposal(for: body) : nil)
        }
    }

    /// Answers the messages about other nodes that only nodes send.
    private func watch(_ message: WatchMessage, _ body: [UInt8], _ peer: NodeID, _ responder: ControlResponder) {
        switch message {
        case .suspect: answer(responder, watching.suspect(body, from: peer))
        case .votes: answer(responder, watching.votes(body, from: peer))
        case .linkBack:
            guard let source = links.endpoint(of: responder.link)?.address else { return links.refuse(responder) }
            watching.linkBack(from: peer, at: source) { [weak self] in self?.answer(responder, $0) }
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
            directory.neighbours.linkUp(link, node)
            directory.gossip.linkUp(link, node)
            requests.linkUp(node)
            swarm?.linkUp(node)
        } else {
            watching.clientCame()
        }
    }

    func linkDown(_ link: LinkID, reason: LinkDownReason) {
        let node = peers.removeValue(forKey: link)?.node
        if let node {
            directory.neighbours.linkDown(link, node)
            requests.linkDown(link, node)
        }
        ledger?.linkDown(link)
        builds.linkEnded(link)
        paths.linkEnded(link)
    }
}

internal import EventLoop
public import Link
internal import Messages
internal import OnionCrypto
internal import Transport
public import Wire

/// Making links, and taking them down.
extension Links {
    /// Gets a link to `node`: the existing one, or a new one.
    ///
    /// A handshake tries those of `endpoints` that this machine reaches, in turn. `completion` runs once, after this
    /// call has returned; for a new link it runs after `linkUp`. If another party asked for the link, `source` is that
    /// party. Sources share three quarters of the handshakes that may be under way; a source with more than its share
    /// gives up one of its handshakes.
    public func link(
        to node: NodeID, at endpoints: [Endpoint], for source: LinkSource? = nil,
        completion: @escaping (Result<LinkID, LinkFailure>) -> Void
    ) {
        handshakes.want(WantedLink(node: node, endpoints: endpoints, source: source, completion: completion))
        schedule.wake()
    }

    /// The link to `node` that is up, if any.
    public func existingLink(to node: NodeID) -> LinkID? {
        list.used(for: node)?.id
    }

    /// The peer at the other end of a link; nil if the link is not up or is gone.
    public func peer(of link: LinkID) -> LinkPeer? {
        guard let link = find(link), link.isUp else { return nil }
        return link.peer
    }

    /// Whether a link is in the table and does not close, so that its end is still to be told.
    public func isOpen(_ link: LinkID) -> Bool { find(link)?.isOpen ?? false }

    /// The smoothed round-trip time of a link's control connection; nil before its first sample, and if the link is
    /// gone.
    public func roundTrip(of link: LinkID) -> TimeSpan? {
        find(link)?.exchange.roundTrip
    }

    /// The peer's address; nil if the link is gone.
    public func endpoint(of link: LinkID) -> Endpoint? { find(link)?.address.endpoint }

    /// Begins the links that were asked for in this turn.
    func startWanted() {
        for request in handshakes.takeWanted() {
            if isClosing {
                request.completion(.failure(.closing))
            } else if let link = existingLink(to: request.node) {
                request.completion(.success(link))
            } else if let pending = handshakes.find(request.node) {
                pending.completions.append(request.completion)
                if request.source == nil { handshakes.disown(pending) }
            } else if let failure = start(request) {
                request.completion(.failure(failure))
            }
        }
    }

    private func start(_ request: WantedLink) -> LinkFailure? {
        let usable = request.endpoints.filter { table.socket(for: SocketAddress($0)) != nil && $0.port != 0 }
        guard !usable.isEmpty else { return .noAddress }
        // One of two families may have no route. If neither has one, that may change before the handshake gives up.
        let reached = usable.count > 1 ? usable.filter { reaches($0) } : usable
        guard request.node.key != node?.identity.nodeID else { return .badIdentity }
        guard takePart(for: request.source) else { return .limit }
        let owner = newOwner(at: usable)
        guard handshakes.hasRoom, let index = takeIndex(of: owner, for: IndexTable.reserved) else {
            if let source = request.source { handshakes.release(source) }
            return .limit
        }
        let shown = node?.shownIdentity
        // The only failure is a node id that is not a public key.
        guard
            let initiator = try? LinkInitiator(
                network: configuration.network, responder: request.node.key, identity: shown, localIndex: index,
                timing: configuration.initiator, now: now)
        else {
            freeIndex(index)
            if let source = request.source { handshakes.release(source) }
            return .badIdentity
        }
        let pending = PendingHandshake(
            node: request.node, endpoints: reached.isEmpty ? usable : reached, initiator: initiator)
        pending.completions = [request.completion]
        pending.source = request.source
        pending.isAnonymous = node != nil && shown == nil
        pending.timer = LoopTimer(on: loop) { [weak self] in self?.poll(index) }
        handshakes.insert(pending)
        poll(index)
        return nil
    }

    /// Takes a place for a handshake that `source` asked for; false if there is none.
    private func takePart(for source: LinkSource?) -> Bool {
        guard let source else { return true }
        // Others that wait for the same node lose the handshake too: they ask again.
        if let loser = handshakes.loser(to: source) { end(loser, .failure(.limit)) }
        return handshakes.take(for: source)
    }

    /// Sends the next message of one of our handshakes, or gives the handshake up.
    private func poll(_ index: UInt32) {
        guard let pending = handshakes.find(index), !pending.hasLink else { return }
        switch pending.initiator.poll(now: now, wallClock: clocks.wallClock()) {
        case .send(let datagram): transmit(datagram, to: SocketAddress(pending.nextEndpoint()))
        case .wait: break
        case .failed:
            table.counters.handshakesFailed += 1
            return end(pending, .failure(.noAnswer))
        }
        pending.timer?.schedule(at: pending.initiator.nextDeadline.nanoseconds)
    }

    /// Removes one of our handshakes and reports `result`; its receiver index is freed unless a link uses it now.
    func end(_ pending: PendingHandshake, _ result: Result<LinkID, LinkFailure>) {
        let index = pending.initiator.localIndex
        pending.timer?.close()
        handshakes.remove(pending)
        if isReserved(index) { freeIndex(index) }
        let completions = pending.completions
        pending.completions = []
        for completion in completions { completion(result) }
    }

    /// Ends our handshakes that show this node's identity if it is hidden now, or hide it if it is shown now.
    func endHandshakes() {
        for pending in handshakes.all where pending.isAnonymous != hidesIdentity {
            end(pending, .failure(.noAnswer))
        }
    }

    /// Copies a datagram of this end to the queue of the socket for `address`.
    func transmit(_ datagram: [UInt8], to address: SocketAddress) {
        guard let socket = table.socket(for: address), var slot = socket.sendSlot(size: datagram.count) else {
            table.drop(.notSendable)
            return
        }
        var bytes = slot.bytes
        unsafe bytes.withUnsafeMutableBytes { unsafe $0.copyBytes(from: datagram) }
        slot.commit(to: address)
    }

    // MARK: Messages of handshakes

    func takeHandshake(_ position: Int, _ batch: inout ReceivedBatch) {
        let source = batch.source(of: position)
        let packet = batch.packet(position)
        let datagram = packet.bytes
        switch datagram.receiverIndex {
        case 1, 2: takeInitiation(datagram, from: source)
        case 3: takeAnswer(datagram, indexAt: 8, from: source)
        case 4: takeAnswer(datagram, indexAt: 4, from: source)
        default: table.drop(.unknownType)
        }
    }

    private func takeInitiation(_ datagram: RawSpan, from source: SocketAddress) {
        guard let node else { return table.drop(.unknownType) }
        let outcome = node.receive(
            datagram, from: Endpoint(source), now: now, wallClock: clocks.wallClock()
        ) { list.isUp(at: $0) }
        switch consume outcome {
        case .drop(let reason): table.drop(reason)
        case .cookie(let bytes):
            table.counters.cookiesSent += 1
            transmit(bytes, to: source)
        case .accepted(let initiation): accept(initiation, from: source)
        }
    }

    private func accept(_ initiation: consuming AcceptedInitiation, from source: SocketAddress) {
        let holder = initiation.peer.map { LinkSource.node($0) } ?? .client(AddressShare(Endpoint(source).address))
        let room = list.room(for: holder, now: now)
        let owner = newOwner(at: [Endpoint(source)])
        guard clear(room), let index = takeIndex(of: owner, for: IndexTable.reserved) else {
            return table.drop(.linkLimit)
        }
        guard let response = initiation.respond(localIndex: index, time: time, now: now) else {
            freeIndex(index)
            return table.drop(.badHandshake)
        }
        let bytes = response.bytes
        guard let link = register(response.takeLink(), at: source, index: index) else {
            return table.drop(.linkLimit)
        }
        // No packet may come before its worker has the keys.
        whenItStands(link) { [unowned self] in transmit(bytes, to: source) }
        table.counters.linksAccepted += 1
        if let victim = list.wait(for: link, of: holder, now: now) { removeSilently(victim) }
    }

    private func takeAnswer(_ datagram: RawSpan, indexAt offset: Int, from source: SocketAddress) {
        var reader = ByteReader(datagram)
        guard (try? reader.skip(offset)) != nil, let index = try? reader.u32(), let pending = handshakes.find(index),
            !pending.hasLink
        else { return table.drop(.unexpectedAnswer) }
        switch pending.initiator.receive(datagram, now: now) {
        case .drop(let reason): table.drop(reason)
        case .cookie:
            // The cookie is valid for the address that it came from: the next initiation goes there too.
            pending.stay(at: Endpoint(source))
            poll(index)
        case .established(let newLink):
            let address = SocketAddress(pending.endpoint(answeredFrom: Endpoint(source)))
            guard clear(list.roomForOwn()), let link = register(newLink, at: address, index: index) else {
                return end(pending, .failure(.limit))
            }
            table.counters.linksOpened += 1
            link.isAnonymous = pending.isAnonymous
            pending.hasLink = true
            whenItStands(link) { [unowned self, unowned link] in
                announce(link)
                // For the peer the link is half-open until the first packet arrives.
                link.exchange.ping()
                markDirty(link)
            }
        }
    }

    /// Puts a link whose handshake is done into the table; nil if the table is full.
    private func register(_ newLink: consuming NewLink, at address: SocketAddress, index: UInt32) -> ControlLink? {
        let peer = newLink.peer.map { LinkPeer.node(NodeID($0)) } ?? .client
        let isInitiator = newLink.isInitiator
        let (peerTime, roundTrip) = (newLink.peerTime, newLink.roundTrip)
        var receiver = newLink.takeReceiver()
        var keyring = newLink.takeKeyring()
        receiver.timing = configuration.keys
        keyring.timing = configuration.keys
        let moment = now
        let liveness = Liveness(timing: configuration.liveness, roundTrip: roundTrip, now: moment)
        let (sendKey, mayMove, owner) = (keyring.sendKey, peer == .client, crew.owner(of: index))
        let isOwn = owner == 0
        var others: LinkReceiver?
        let inserted: LinkID?
        if isOwn {
            inserted = table.insert(receiver, sendKey: sendKey, liveness: liveness, address: address, mayMove: mayMove)
            others = nil
        } else {
            inserted = table.insert(nil, sendKey: sendKey, liveness: liveness, address: address, mayMove: mayMove)
            others = consume receiver
        }
        guard let id = inserted else {
            freeIndex(index)
            return nil
        }
        let timer = LoopTimer(on: loop) { [weak self] in self?.deadlineReached(id) }
        let link = ControlLink(
            id: id, peer: peer, isInitiator: isInitiator, ownerIsClient: node == nil, address: Endpoint(address),
            configuration: configuration, kinds: messages.kinds, peerTime: peerTime, keyring: keyring, timer: timer,
            owner: owner, now: moment)
        list.insert(link, for: newLinkSource(peer, at: address))
        if !isOwn { crew.move(index, to: UInt32(truncatingIfNeeded: id.place)) }
        crew.add(id, at: Endpoint(address), owner: owner)
        follow(
            orders.add(
                id, owner: owner, others.take(), sendKey: sendKey, liveness: liveness, address: address,
                mayMove: mayMove))
        return link
    }

    private func newLinkSource(_ peer: LinkPeer, at address: SocketAddress) -> LinkSource {
        peer.node.map { .node($0.key) } ?? .client(AddressShare(Endpoint(address).address))
    }
}

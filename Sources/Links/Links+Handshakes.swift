internal import EventLoop
public import Link
internal import Messages
internal import OnionCrypto
internal import Transport
public import Wire

/// Links made and taken down.
extension Links {
    /// Gets a link to `node`: the one there is, or a new one by a handshake with those of `endpoints` in turn that this
    /// machine reaches.
    ///
    /// `completion` runs once, later, not inside of this call; before `linkUp` for a new link it does not run. Where a stranger
    /// asks for the link, `source` says whom it counts for: sources have parts of three quarters of the handshakes that may be
    /// under way, and one that has more than its part gives up one of them.
    public func link(
        to node: NodeID, at endpoints: [Endpoint], for source: LinkSource? = nil,
        completion: @escaping (Result<LinkID, LinkFailure>) -> Void
    ) {
        wanted.append(WantedLink(node: node, endpoints: endpoints, source: source, completion: completion))
        turnTimer?.schedule(at: 0)
    }

    /// The link to `node` that is up, if any.
    public func existingLink(to node: NodeID) -> LinkID? {
        guard let id = nodes[node], let link = find(id), link.isOpen else { return nil }
        return id
    }

    /// Who is at the other end of a link that is up; nil when it is gone.
    public func peer(of link: LinkID) -> LinkPeer? {
        guard let link = find(link), link.isUp else { return nil }
        return link.peer
    }

    /// The smoothed round-trip time of a link's control connection; nil before its first sample, or when it is gone.
    public func roundTrip(of link: LinkID) -> TimeSpan? {
        find(link)?.exchange.roundTrip
    }

    /// Where the other end is; nil when the link is gone.
    public func endpoint(of link: LinkID) -> Endpoint? { find(link)?.address.endpoint }

    /// Begins what was asked for in this turn.
    func startWanted() {
        let requests = wanted
        wanted = []
        for request in requests {
            if isClosing {
                request.completion(.failure(.closing))
            } else if let link = existingLink(to: request.node) {
                request.completion(.success(link))
            } else if let pending = handshakesByNode[request.node] {
                pending.completions.append(request.completion)
                if request.source == nil { release(pending) }
            } else if let failure = start(request) {
                request.completion(.failure(failure))
            }
        }
    }

    /// The identity to begin links with: none as long as this node is not staked, for nobody would answer it.
    private var shownIdentity: LinkIdentity? {
        identity.flatMap { !hidesIdentity && isStaked(NodeID($0.nodeID)) ? $0 : nil }
    }

    private func start(_ request: WantedLink) -> LinkFailure? {
        let usable = request.endpoints.filter { table.socket(for: SocketAddress($0)) != nil && $0.port != 0 }
        guard !usable.isEmpty else { return .noAddress }
        // Of two families one may have no route. Where neither has, that may change before the handshake gives up.
        let reached = usable.count > 1 ? usable.filter { reaches($0) } : usable
        guard request.node.key != identity?.nodeID else { return .badIdentity }
        guard takePart(for: request.source) else { return .limit }
        guard handshakes.count < configuration.maximumHandshakes,
            let index = table.indices.take(for: IndexTable.reserved)
        else {
            if let source = request.source { handshakeShares.release(source) }
            return .limit
        }
        let shown = shownIdentity
        guard
            let initiator = try? LinkInitiator(
                network: configuration.network, responder: request.node.key, identity: shown, localIndex: index,
                timing: configuration.initiator, now: now)
        else {
            table.indices.free(index)
            if let source = request.source { handshakeShares.release(source) }
            return .badIdentity
        }
        let pending = PendingHandshake(
            node: request.node, endpoints: reached.isEmpty ? usable : reached, initiator: initiator)
        pending.completions = [request.completion]
        pending.source = request.source
        pending.isAnonymous = identity != nil && shown == nil
        pending.timer = LoopTimer(on: loop) { [weak self] in self?.poll(index) }
        handshakes[index] = pending
        handshakesByNode[request.node] = pending
        poll(index)
        return nil
    }

    /// Counts a handshake that strangers ask for; false when there is none for `source`.
    private func takePart(for source: LinkSource?) -> Bool {
        guard let source else { return true }
        if case .makeRoom(let largest) = handshakeShares.admission(for: source) {
            // Others that wait for the same node lose it too: they ask again.
            if let loser = handshakes.values.first(where: { $0.source == largest }) { end(loser, .failure(.limit)) }
        }
        return handshakeShares.take(for: source) == .granted
    }

    /// The handshake no longer counts for a stranger.
    private func release(_ pending: PendingHandshake) {
        if let source = pending.source { handshakeShares.release(source) }
        pending.source = nil
    }

    /// Sends what a handshake of ours has to send, or gives it up.
    private func poll(_ index: UInt32) {
        guard let pending = handshakes[index] else { return }
        switch pending.initiator.poll(now: now, wallClock: wallClock()) {
        case .send(let datagram): transmit(datagram, to: SocketAddress(pending.nextEndpoint()))
        case .wait: break
        case .failed:
            table.counters.handshakesFailed += 1
            return end(pending, .failure(.noAnswer))
        }
        pending.timer?.schedule(at: pending.initiator.nextDeadline.nanoseconds)
    }

    /// Forgets a handshake of ours; its receiver index is freed unless a link has it now.
    private func end(_ pending: PendingHandshake, _ result: Result<LinkID, LinkFailure>) {
        let index = pending.initiator.localIndex
        release(pending)
        pending.timer?.close()
        handshakes[index] = nil
        handshakesByNode[pending.node] = nil
        if table.indices.find(index) == IndexTable.reserved { table.indices.free(index) }
        let completions = pending.completions
        pending.completions = []
        for completion in completions { completion(result) }
    }

    /// Copies a datagram of ours to the queue.
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
        guard let responder else { return table.drop(.unknownType) }
        let (isStaked, isKnown, isKnownAddress) = (isStaked, isNodeEndpoint, isNodeAddress)
        switch responder.responder.receive(
            datagram, from: Endpoint(source), now: now, wallClock: wallClock(), isStaked: { isStaked(NodeID($0)) },
            isKnown: isKnown, isKnownAddress: isKnownAddress)
        {
        case .drop(let reason): table.drop(reason)
        case .cookie(let bytes):
            table.counters.cookiesSent += 1
            transmit(bytes, to: source)
        case .accepted(let initiation): accept(initiation, from: source)
        }
    }

    private func accept(_ initiation: consuming AcceptedInitiation, from source: SocketAddress) {
        let holder = initiation.peer.map { LinkSource.node($0) } ?? .client(AddressShare(Endpoint(source).address))
        let room = places.room(for: holder, now: now) { placeState($0) }
        guard clear(room), let index = table.indices.take(for: IndexTable.reserved) else {
            return table.drop(.linkLimit)
        }
        guard let response = initiation.respond(localIndex: index, time: time, now: now) else {
            table.indices.free(index)
            return table.drop(.badHandshake)
        }
        let bytes = response.bytes
        guard let link = register(response.takeLink(), at: source, index: index) else {
            return table.drop(.linkLimit)
        }
        transmit(bytes, to: source)
        table.counters.linksAccepted += 1
        if let victim = halfOpen.insert(link.id, of: holder, now: now) { removeSilently(victim) }
    }

    private func takeAnswer(_ datagram: RawSpan, indexAt offset: Int, from source: SocketAddress) {
        var reader = ByteReader(datagram)
        guard (try? reader.skip(offset)) != nil, let index = try? reader.u32(), let pending = handshakes[index] else {
            return table.drop(.unexpectedAnswer)
        }
        switch pending.initiator.receive(datagram, now: now) {
        case .drop(let reason): table.drop(reason)
        case .cookie:
            // The cookie is for the address that it came from: stay with it.
            pending.stay(at: Endpoint(source))
            poll(index)
        case .established(let newLink):
            let address = SocketAddress(pending.endpoint(answeredFrom: Endpoint(source)))
            guard clear(places.roomForOwn { placeState($0) }), let link = register(newLink, at: address, index: index)
            else { return end(pending, .failure(.limit)) }
            table.counters.linksOpened += 1
            link.isAnonymous = pending.isAnonymous
            announce(link)
            // The peer holds the link for half-open until something comes.
            link.exchange.ping()
            markDirty(link)
        }
    }

    /// Puts a link whose handshake is done into the table; nil when there is no room.
    private func register(_ newLink: consuming NewLink, at address: SocketAddress, index: UInt32) -> ControlLink? {
        let peer = newLink.peer.map { LinkPeer.node(NodeID($0)) } ?? .client
        let isInitiator = newLink.isInitiator
        let peerTime = newLink.peerTime
        var keyring = newLink.takeKeyring()
        keyring.timing = configuration.keys
        let moment = now
        let inserted = table.insert(
            keyring, liveness: Liveness(timing: configuration.liveness, now: moment), address: address,
            mayMove: peer == .client)
        guard let id = inserted else {
            table.indices.free(index)
            return nil
        }
        let timer = LoopTimer(on: loop) { [weak self] in self?.deadlineReached(id) }
        let link = ControlLink(
            id: id, peer: peer, isInitiator: isInitiator, ownerIsClient: identity == nil, address: Endpoint(address),
            configuration: configuration, kinds: messages, peerTime: peerTime, timer: timer, now: moment)
        places.insert(id, for: newLinkSource(peer, at: address))
        while links.count <= id.place { links.append(nil) }
        links[id.place] = link
        return link
    }

    private func newLinkSource(_ peer: LinkPeer, at address: SocketAddress) -> LinkSource {
        peer.node.map { .node($0.key) } ?? .client(AddressShare(Endpoint(address).address))
    }

    // MARK: Places

    /// Whom a link counts for in tables that peers fill; nil when it is gone.
    public func source(of link: LinkID) -> LinkSource? { places.source(of: link) }

    /// Whom a client's link counts for; nil for a node's link, and for one that is gone.
    public func addressShare(of link: LinkID) -> AddressShare? {
        guard case .client(let address) = places.source(of: link) else { return nil }
        return address
    }

    /// What decides whether a link gives way; one that closes is the first.
    func placeState(_ id: LinkID) -> LinkPlaces<LinkID>.State {
        guard let link = find(id), link.isOpen else {
            let never = Instant(nanoseconds: 0)
            return LinkPlaces.State(paths: 0, quietSince: never, since: never, isUp: false)
        }
        return LinkPlaces.State(
            paths: link.idle.paths, quietSince: link.idle.quietSince, since: link.since, isUp: link.isUp)
    }

    /// Takes out the link that gives way to another, if one must; false when there is no room.
    private func clear(_ room: LinkPlaces<LinkID>.Room) -> Bool {
        switch room {
        case .free: return true
        case .none: return false
        case .after(let id):
            giveWay(id)
            return true
        }
    }

    private func giveWay(_ id: LinkID) {
        guard let link = find(id) else { return }
        guard link.isUp else { return removeSilently(id) }
        table.counters.linksGaveWay += 1
        if link.isOpen {
            table.now = now
            link.exchange.close(now: now, timeout: .seconds(1))
            pumpLast(link)
        }
        remove(link, reason: .gaveWay)
    }

    // MARK: Up and down

    /// The initiator of a link that we accepted has shown its keys.
    func confirmed(_ id: LinkID) {
        guard let link = find(id), !link.isUp else { return }
        halfOpen.remove(id)
        announce(link)
    }

    private func announce(_ link: ControlLink) {
        link.isUp = true
        if let node = link.peer.node, let time = link.peerTime, let source = operatorOf(node) {
            clock.add(time, from: source, own: ownTime, at: running)
        }
        if let node = link.peer.node {
            if isPreferred(link, for: node) { nodes[node] = link.id }
            if let other = places.surplus(of: .node(node.key), state: { placeState($0) }) { giveWay(other) }
        }
        control?.linkUp(link.id, peer: link.peer)
        if let node = link.peer.node, let pending = handshakesByNode[node] {
            end(pending, link.isGone ? .failure(.noAnswer) : .success(link.id))
        }
    }

    /// Which of two links between one pair of nodes is used: the newer, unless both came at once from both sides.
    ///
    /// Then it is the one that the node with the smaller id began, so that both ends choose alike (protocol.md, section 3.8).
    private func isPreferred(_ link: ControlLink, for node: NodeID) -> Bool {
        guard let id = nodes[node], let other = find(id), other.isOpen, let identity else { return true }
        guard link.isInitiator != other.isInitiator, link.since - other.since < .seconds(10) else { return true }
        let isOursSmaller = identity.nodeID.array.lexicographicallyPrecedes(node.key.array)
        return link.isInitiator == isOursSmaller
    }

    /// Tells the peer, and forgets the link; `linkDown` follows later in the turn.
    public func close(_ link: LinkID) { close(link, reason: .closedHere) }

    func close(_ id: LinkID, reason: LinkDownReason) {
        guard let link = find(id), link.isOpen else { return }
        link.exchange.close(now: now, timeout: .seconds(1))
        link.closingUntil = now + .seconds(1)
        markDirty(link)
        tellDown(link, reason)
        sweepBefore(now + .milliseconds(100))
    }

    /// Ends the handshakes of ours that show the identity where it is to be hidden, and the other way round.
    func endHandshakes() {
        for pending in handshakes.values where pending.isAnonymous != hidesIdentity {
            end(pending, .failure(.noAnswer))
        }
    }

    /// Ends the links that this node has begun without its identity, which are a client's to the peer; whether there were any.
    public func closeAnonymous() -> Bool {
        var found = false
        for case .some(let link) in links where link.isAnonymous && link.isOpen {
            close(link.id)
            found = true
        }
        return found
    }

    /// Takes a link out at once.
    func remove(_ link: ControlLink, reason: LinkDownReason) {
        guard !link.isGone else { return }
        takeOut(link)
        if link.closingUntil == nil { tellDown(link, reason) }
    }

    /// Takes out a link that nobody has heard of.
    func removeSilently(_ id: LinkID) {
        guard let link = find(id) else { return }
        halfOpen.remove(id)
        takeOut(link)
    }

    private func takeOut(_ link: ControlLink) {
        link.isGone = true
        link.timer.close()
        table.remove(link.id)
        places.remove(link.id)
        for stream in link.exchange.end() { answers.release(ControlResponder(link: link.id, stream: stream.value)) }
        links[link.id.place] = nil
        table.counters.linksClosed += 1
    }

    private func tellDown(_ link: ControlLink, _ reason: LinkDownReason) {
        if reason == .dead { table.counters.linksDead += 1 }
        if let node = link.peer.node, nodes[node] == link.id {
            nodes[node] = nil
            // Another link to the same node may stand by.
            let other = links.first { $0.map { $0.isUp && $0.isOpen && $0.peer == link.peer && $0 !== link } ?? false }
            if case .some(.some(let other)) = other { nodes[node] = other.id }
        }
        let replies = link.takeReplies()
        let wasUp = link.isUp
        later { [weak self] in
            for reply in replies { reply(.failure(.linkDown)) }
            if wasUp { self?.control?.linkDown(link.id, reason: reason) }
        }
    }

    /// Closes all links and sockets, telling the peers; nothing calls back after it but `completion` and what was due.
    ///
    /// Not to be called from a packet handler.
    public func closeAll(completion: @escaping () -> Void = {}) {
        guard !isClosing else { return later(completion) }
        isClosing = true
        for pending in Array(handshakes.values) { end(pending, .failure(.closing)) }
        for case .some(let link) in links {
            close(link.id, reason: .closedHere)
            pump(link)
        }
        closeSockets()
        for case .some(let link) in links { takeOut(link) }
        later { [weak self] in
            completion()
            self?.sweepTimer?.close()
        }
    }
}

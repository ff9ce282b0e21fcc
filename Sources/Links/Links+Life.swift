internal import EventLoop
public import Link
internal import Messages
internal import Transport
public import Wire

/// Links that come up, give way and end.
extension Links {
    // MARK: Places

    /// The source that a link counts for in tables that peers fill; nil if the link is gone.
    public func source(of link: LinkID) -> LinkSource? { list.source(of: link) }

    /// The address share of a client's link; nil for a node's link, and if the link is gone.
    public func addressShare(of link: LinkID) -> AddressShare? {
        guard case .client(let address) = list.source(of: link) else { return nil }
        return address
    }

    /// Removes the link that must give way, if any; false if there is no room.
    func clear(_ room: LinkPlaces<LinkID>.Room) -> Bool {
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

    /// The initiator of a link that this end accepted has proved that it has the keys.
    func confirmed(_ id: LinkID) {
        guard let link = find(id) else { return }
        link.keyring.confirmed()
        guard !link.isUp else { return }
        list.confirm(link)
        announce(link)
    }

    func announce(_ link: ControlLink) {
        link.isUp = true
        if let node = link.peer.node, let time = link.peerTime { clocks.add(time, of: node) }
        if let node = link.peer.node {
            if isPreferred(link, for: node) { list.use(link, for: node) }
            if let other = list.surplus(of: node) { giveWay(other) }
        }
        precondition(hasHadControl, "links without a handler of control messages")
        control?.linkUp(link.id, peer: link.peer)
        if let node = link.peer.node, let pending = handshakes.find(node) {
            end(pending, link.isGone ? .failure(.noAnswer) : .success(link.id))
        }
    }

    /// Whether a new link to `node` replaces the one in use: yes, unless both ends began a link at about the same time.
    ///
    /// In that case the link that the node with the smaller id began is used, so that both ends choose the same one
    /// (protocol.md, section 3.8).
    private func isPreferred(_ link: ControlLink, for node: NodeID) -> Bool {
        guard let other = list.used(for: node), let own = self.node?.identity.nodeID else { return true }
        guard link.isInitiator != other.isInitiator, link.since - other.since < .seconds(10) else { return true }
        let isOursSmaller = own.array.lexicographicallyPrecedes(node.key.array)
        return link.isInitiator == isOursSmaller
    }

    /// Closes a link and tells the peer; `linkDown` follows later in the turn.
    public func close(_ link: LinkID) { close(link, reason: .closedHere) }

    func close(_ id: LinkID, reason: LinkDownReason) {
        guard let link = find(id), link.isOpen else { return }
        link.exchange.close(now: now, timeout: .seconds(1))
        let until = now + .seconds(1)
        link.closingUntil = until
        markDirty(link)
        tellDown(link, reason)
        schedule.look(at: id, at: until)
    }

    /// Closes the links that this node began without its identity, as a client does; returns whether there were any.
    public func closeAnonymous() -> Bool {
        var found = false
        for link in list.all where link.isAnonymous && link.isOpen {
            close(link.id)
            found = true
        }
        return found
    }

    /// Removes a link at once, without telling the peer.
    func remove(_ link: ControlLink, reason: LinkDownReason) {
        guard !link.isGone else { return }
        takeOut(link)
        if link.closingUntil == nil { tellDown(link, reason) }
    }

    /// Removes a link that no handler has been told of.
    func removeSilently(_ id: LinkID) {
        guard let link = find(id) else { return }
        takeOut(link)
    }

    private func takeOut(_ link: ControlLink) {
        link.isGone = true
        link.timer.close()
        link.whenItStands = nil
        for index in link.keyring.localIndices() { freeIndex(index) }
        follow(orders.remove(link.id))
        crew.remove(link.id, owner: link.owner)
        list.remove(link)
        for stream in link.exchange.end() {
            messages.answers.release(ControlResponder(link: link.id, stream: stream.value))
        }
        table.counters.linksClosed += 1
        // A link of this end that still waited for other workers has its handshake.
        guard !link.isUp, link.isInitiator, let node = link.peer.node, let pending = handshakes.find(node) else {
            return
        }
        end(pending, .failure(.limit))
    }

    private func tellDown(_ link: ControlLink, _ reason: LinkDownReason) {
        if reason == .dead { table.counters.linksDead += 1 }
        list.leave(link)
        let replies = link.takeReplies()
        let wasUp = link.isUp
        later { [weak self] in
            for reply in replies { reply(.failure(.linkDown)) }
            if wasUp { self?.control?.linkDown(link.id, reason: reason) }
        }
    }

    /// Closes all links and sockets and tells the peers; afterwards only `completion` and callbacks that were due run.
    ///
    /// Must not be called from a packet handler.
    public func closeAll(completion: @escaping () -> Void = {}) {
        guard !isClosing else { return later(completion) }
        isClosing = true
        table.now = now
        for pending in handshakes.all { end(pending, .failure(.closing)) }
        // A half-open link's address has proved nothing: it gets no packet.
        for link in list.all where link.isUp {
            close(link.id, reason: .closedHere)
            pump(link)
        }
        closeSockets()
        for link in list.all { takeOut(link) }
        later { [weak self] in
            completion()
            self?.schedule.close()
        }
    }
}

internal import EventLoop
internal import Link
internal import Messages
internal import Wire

/// Events on links that time causes.
extension Links {
    /// The longest time between two sweeps while there are links: they check keys, idleness and messages.
    private var housekeeping: TimeSpan {
        let keys = configuration.keys
        return max(
            LinkSchedule.shortestSweep,
            min(.seconds(1), keys.rekeyAfter / 8, keys.overlap / 4, configuration.clientIdle / 8))
    }

    /// Schedules the next sweep, unless an earlier one is scheduled.
    func armSweep() {
        guard table.count > 0 else { return }
        sweepBefore(min(table.earliestTick, schedule.lastSweep + housekeeping))
    }

    /// Schedules a sweep for `moment` at the latest.
    func sweepBefore(_ moment: Instant) { schedule.sweepBefore(moment) }

    /// Checks every link.
    func sweep() {
        guard !isClosing else { return }
        let moment = now
        table.now = moment
        schedule.swept(at: moment)
        while let id = list.nextExpired(now: moment) { removeSilently(id) }
        var next = moment + housekeeping
        table.earliestTick = Instant(nanoseconds: .max)
        var held = 0
        for link in list.all {
            look(at: link, moment)
            guard !link.isGone else { continue }
            if link.peer == .client { held += link.exchange.memoryUse }
            table.earliestTick = min(table.earliestTick, table.nextTick(link.id))
            if let expiry = link.exchange.nextExpiry { next = min(next, expiry) }
        }
        if held > configuration.maximumClientMemory { makeRoom() }
        if table.count > 0 { sweepBefore(min(next, table.earliestTick)) }
    }

    /// Ends the largest link of the address whose links hold the most memory, until the rest is within the limit.
    private func makeRoom() {
        var clients: [ControlLink] = []
        var holders: [MemoryHolder<AddressShare>] = []
        for link in list.all {
            guard let address = addressShare(of: link.id) else { continue }
            clients.append(link)
            holders.append(MemoryHolder(source: address, bytes: link.exchange.memoryUse))
        }
        for number in MemoryHolder.losers(of: holders, limit: configuration.maximumClientMemory) {
            let link = clients[number]
            if link.isUp { remove(link, reason: .memory) } else { removeSilently(link.id) }
        }
    }

    /// The longest round trip of all links, because traffic that fills this end's own line delays all of them; nil if
    /// this end's line is not slow.
    var lineRoundTrip: TimeSpan? {
        guard configuration.isOnSlowLine else { return nil }
        return list.all.compactMap { $0.isUp ? $0.exchange.roundTrip : nil }.max()
    }

    /// Whether the silence of a link may be due to a client's slow line.
    ///
    /// A node is patient with every client. A client is patient with a node unless another node has acknowledged
    /// something sent since the silence began. Packets that nodes send unasked prove nothing: they may have waited in
    /// the same queue.
    private func isPatient(with link: ControlLink) -> Bool {
        guard configuration.isOnSlowLine else { return link.peer == .client }
        guard let since = table.silentSince(link.id) else { return true }
        return !list.all.contains { $0 !== link && $0.isUp && $0.exchange.hasAnswered(since: since) }
    }

    /// Pings the other nodes after a node has left a client's ping unanswered.
    ///
    /// This happens from the second ping on: an app's data goes unanswered for a moment every day, and other nodes must
    /// not learn of that.
    private func pingOthers(than link: ControlLink) {
        guard configuration.isOnSlowLine, let since = table.silentSince(link.id) else { return }
        for other in list.all where other !== link && other.isUp && other.isOpen {
            guard !other.exchange.hasAnswered(since: since) else { continue }
            other.exchange.ping()
            markDirty(other)
        }
    }

    /// Whether all nodes have been silent for more than a second, so that the cause may be this end's line.
    public var isLineSilent: Bool {
        guard configuration.isOnSlowLine else { return false }
        return list.all.allSatisfy { !$0.isUp || table.heard($0.id).map { now - $0 > .seconds(1) } ?? true }
    }

    /// Whether the node at the other end of a link has left a ping unanswered: the node may be gone.
    public func leavesPings(_ link: LinkID) -> Bool { table.leavesPings(link) }

    /// Pings a link whose peer leaves something unanswered, and removes the link if it is dead.
    private func tick(_ link: ControlLink) {
        guard crew.runs(link.owner, now: table.now) else { return table.noteHeard(link.id) }
        let action = table.tick(link.id, roundTrip: link.exchange.roundTrip, isPatient: isPatient(with: link))
        switch action {
        case .none: break
        case .ping, .pingAgain:
            link.exchange.ping()
            markDirty(link)
            if action == .pingAgain { pingOthers(than: link) }
        case .dead:
            if link.isUp { remove(link, reason: .dead) }
        }
    }

    private func look(at link: ControlLink, _ moment: Instant) {
        if let until = link.closingUntil {
            if moment >= until || link.exchange.isCloseAcknowledged { remove(link, reason: .closedHere) }
            return
        }
        if moment >= table.nextTick(link.id) { tick(link) }
        guard !link.isGone else { return }
        table.expire(link.id)
        if link.keyring.expire(now: moment) {
            return link.isUp ? remove(link, reason: .keysExpired) : removeSilently(link.id)
        }
        guard link.isUp else { return }
        if link.exchange.advance(now: moment) { markDirty(link) }
        if let deadline = link.idle.deadline, moment >= deadline, link.exchange.isQuiet {
            return close(link.id, reason: .idle)
        }
        if link.keyring.wantsRekey(now: moment) { startRekey(link) }
    }
}

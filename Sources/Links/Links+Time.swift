internal import EventLoop
internal import Link
internal import Messages
internal import Wire

/// Events on links that time causes.
extension Links {
    /// How many links that are not due one sweep looks at, so that thousands of links do not hold packets up.
    private var partOfRound: Int { max(256, table.count / 32) }

    /// The time of a round over all links: their keys, idleness and memory are checked.
    private var housekeeping: TimeSpan {
        let keys = configuration.keys
        return max(
            LinkSchedule.shortestSweep,
            min(.seconds(1), keys.rekeyAfter / 8, keys.overlap / 4, configuration.clientIdle / 8))
    }

    /// Schedules the next sweep, unless an earlier one is scheduled.
    func armSweep() {
        guard table.count > 0 else { return }
        schedule.sweepBefore(min(table.earliestTick, schedule.round.next))
    }

    /// Has a sweep look at a link whose messages time out before its next turn in a round.
    func sweepMessages(_ link: ControlLink) {
        guard let moment = link.exchange.nextExpiry, moment - now < housekeeping + housekeeping else { return }
        schedule.look(at: link.id, at: moment)
    }

    /// Looks at the links that are due, and at a part of all.
    func sweep() {
        guard !isClosing else { return }
        let moment = now
        table.now = moment
        schedule.swept(at: moment)
        while let id = list.nextExpired(now: moment) { removeSilently(id) }
        for id in schedule.takeDue(at: moment) {
            guard let link = find(id) else { continue }
            look(at: link, moment)
            if !link.isGone { sweepMessages(link) }
        }
        for id in table.takeDueTicks(at: moment) {
            guard let link = find(id), link.closingUntil == nil else { continue }
            look(at: link, moment)
            table.earliestTick = min(table.earliestTick, table.nextTick(id))
        }
        if moment >= schedule.round.next { sweepRound(moment) }
        guard table.count > 0 else { return }
        let next = min(table.earliestTick, schedule.round.next)
        schedule.sweepBefore(schedule.nextDeadline.map { min($0, next) } ?? next)
    }

    /// Goes on with the round over all links.
    private func sweepRound(_ moment: Instant) {
        var left = partOfRound
        while left > 0, schedule.round.place < list.placeCount {
            let link = list.link(at: schedule.round.place)
            schedule.round.place += 1
            guard let link else { continue }
            left -= 1
            look(at: link, moment)
            guard !link.isGone else { continue }
            if link.peer == .client { schedule.round.held += link.exchange.memoryUse }
            sweepMessages(link)
        }
        schedule.round.next = moment + housekeeping / Int64(clamping: 1 + table.count / partOfRound)
        guard schedule.round.place >= list.placeCount else { return }
        if schedule.round.held > configuration.maximumClientMemory { makeRoom() }
        schedule.round.place = 0
        schedule.round.held = 0
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

internal import Wire

/// The line of one target: a node takes so many requests of another at once and a second, and those that want them take turns.
///
/// So a flood of one source, or of many, costs another one its share of the target, and no more.
extension RequestProxy {
    struct Line {
        enum Grant {
            /// This request goes next; it counts as unanswered.
            case granted(Ticket)
            /// The target's rate allows none now.
            case later
        }

        /// The requests that the target has and has not answered.
        var unanswered = 0
        /// The target's own rate for this node.
        var rate: TokenBucket
        var turns = RequestTurns()
        var lastUsed: Instant

        /// What may be sent now; nil where nothing waits, or the target has as many as it takes.
        ///
        /// It changes the line where it stands: a copy would cost as much as there are sources that wait.
        mutating func next(_ now: Instant) -> Grant? {
            guard unanswered < RequestLimits.unanswered, !turns.isEmpty else { return nil }
            guard rate.take(now: now) else { return .later }
            guard let ticket = turns.next() else { preconditionFailure("who waits has a turn") }
            unanswered += 1
            return .granted(ticket)
        }
    }

    /// A request to a node with a link waits for its turn; `advanceLine` follows.
    mutating func line(up ticket: Ticket, _ now: Instant) {
        guard let entry = entries[ticket], case .connecting(let envelope) = entry.state else { return }
        entries[ticket]?.state = .waiting(envelope: envelope)
        if lines[entry.target] == nil {
            forgetIdleLines(now)
            let rate = TokenBucket(
                perSecond: RequestLimits.forwardsPerNode, burst: RequestLimits.turnBurst, now: now)
            lines[entry.target] = Line(rate: rate, lastUsed: now)
        }
        lines[entry.target]?.lastUsed = now
        let isNew = askers[entry.source]?.hadTurn == false
        lines[entry.target]?.turns.append(ticket, of: entry.source, isNew: isNew)
    }

    /// Sends FORWARD for those whose turn it is, as far as the target takes them.
    mutating func advanceLine(of target: NodeID, _ now: Instant, _ actions: inout [Action]) {
        while let grant = lines[target]?.next(now) {
            switch grant {
            case .later:
                movable.targets.insert(target)
                movable.at = min(movable.at ?? now + RequestLimits.turnTime, now + RequestLimits.turnTime)
                return
            case .granted(let ticket):
                guard let entry = entries[ticket], case .waiting(let envelope) = entry.state
                else { preconditionFailure("who has a turn has a waiting request") }
                askers[entry.source]?.hadTurn = true
                forward(ticket, entry, envelope, now, &actions)
            }
        }
    }

    /// Does so for all targets whose lines may go on.
    mutating func advanceLines(_ now: Instant, _ actions: inout [Action]) {
        guard let moment = movable.at, moment <= now else { return }
        let targets = movable.targets
        movable = ([], nil)
        for target in targets { advanceLine(of: target, now, &actions) }
    }

    private mutating func forward(
        _ ticket: Ticket, _ entry: Entry, _ envelope: [UInt8], _ now: Instant, _ actions: inout [Action]
    ) {
        let isRelayed =
            switch entry.source.origin {
            case .link: false
            case .relay: true
            }
        entries[ticket]?.state = .asked
        flights[ticket] = entry.key
        deadlines.answer.append(ticket, now: now)
        let message = ForwardMessage(id: entry.id, isRelayed: isRelayed, envelope: envelope)
        actions.append(.forward(ticket, entry.target, message.encoded()))
    }

    /// A request that waits for its turn ends.
    mutating func leaveLine(_ ticket: Ticket, _ entry: Entry) {
        lines[entry.target]?.turns.remove(ticket, of: entry.source)
    }

    /// A target has one request less: `advance` goes on with its line.
    ///
    /// A request that ends before, for example with its session, keeps its place until then: its target counts it too.
    mutating func landed(_ ticket: Ticket) {
        guard let key = flights.removeValue(forKey: ticket) else { return }
        if entries[ticket] == nil { asked[key] = nil }
        let target = key.node
        lines[target]?.unanswered -= 1
        guard lines[target]?.turns.isEmpty == false else { return }
        movable.targets.insert(target)
        movable.at = Instant(nanoseconds: 0)
    }

    /// Removes lines whose buckets are full again; the work is at most a constant for each new line.
    private mutating func forgetIdleLines(_ now: Instant) {
        guard lines.count >= 64, lines.count.nonzeroBitCount == 1 else { return }
        lines = lines.filter { _, line in
            line.unanswered > 0 || !line.turns.isEmpty || now - line.lastUsed < RequestLimits.peerMemory
        }
    }
}

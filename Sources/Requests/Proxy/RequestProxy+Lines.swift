internal import Wire

/// The queue of requests to one target, whose rate and number of unanswered requests are limited; sources take turns.
///
/// A flood of one source, or of many, therefore costs another source no more than the flood's share of the target.
extension RequestProxy {
    struct Line {
        enum Grant {
            /// The request that goes next; it counts as unanswered.
            case granted(Ticket)
            /// The target's rate allows no request now.
            case later
        }

        /// The requests that were sent to the target and are not answered.
        var unanswered = 0
        /// The rate at which the target accepts requests of this node.
        var rate: TokenBucket
        var turns = RequestTurns()
        var lastUsed: Instant

        /// The next request to send; nil if none waits or the target has its limit of unanswered requests.
        ///
        /// Call it on the line in its table: a copy would cost as much as there are sources that wait.
        mutating func next(_ now: Instant) -> Grant? {
            guard unanswered < RequestLimits.unanswered, !turns.isEmpty else { return nil }
            guard rate.take(now: now) else { return .later }
            guard let ticket = turns.next() else { preconditionFailure("who waits has a turn") }
            unanswered += 1
            return .granted(ticket)
        }
    }

    /// Adds a request to the line of its target, which has a link; `advanceLine` must follow.
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

    /// Sends FORWARD for the next requests of a target's line, as many as the target accepts.
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

    /// Advances the lines of all targets that may go on, when it is time.
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

    /// Removes a request that waits for its turn.
    mutating func leaveLine(_ ticket: Ticket, _ entry: Entry) {
        lines[entry.target]?.turns.remove(ticket, of: entry.source)
    }

    /// A target has one unanswered request less; the next `advance` goes on with its line.
    ///
    /// A request that ends early, for example with its session, counts until this call: its target still counts it too.
    mutating func landed(_ ticket: Ticket) {
        guard let key = flights.removeValue(forKey: ticket) else { return }
        if entries[ticket] == nil { asked[key] = nil }
        let target = key.node
        lines[target]?.unanswered -= 1
        guard lines[target]?.turns.isEmpty == false else { return }
        movable.targets.insert(target)
        movable.at = Instant(nanoseconds: 0)
    }

    /// Removes lines whose buckets are full again; the work is at most constant for each new line.
    private mutating func forgetIdleLines(_ now: Instant) {
        guard lines.count >= 64, lines.count.nonzeroBitCount == 1 else { return }
        lines = lines.filter { _, line in
            line.unanswered > 0 || !line.turns.isEmpty || now - line.lastUsed < RequestLimits.peerMemory
        }
    }
}

internal import Wire

/// The queue of requests to one target, whose rate and number of unanswered requests are limited; sources take turns.
///
/// A flood of one source, or of many, therefore costs another source no more than the flood's share of the target.
extension RequestProxy {
    struct TargetQueue {
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
        /// Call it on the queue in its table: a copy would cost as much as there are sources that wait.
        mutating func next(_ now: Instant) -> Grant? {
            guard unanswered < RequestLimits.unanswered, !turns.isEmpty else { return nil }
            guard rate.take(now: now) else { return .later }
            guard let ticket = turns.next() else { preconditionFailure("who waits has a turn") }
            unanswered += 1
            return .granted(ticket)
        }
    }

    /// Adds a request to the queue of its target, which has a link; `advanceQueue` must follow.
    mutating func enqueue(_ ticket: Ticket, _ now: Instant) {
        guard let entry = entries[ticket], case .connecting(let envelope) = entry.state else { return }
        entries[ticket]?.state = .waiting(envelope: envelope)
        if queues[entry.target] == nil {
            forgetIdleQueues(now)
            let rate = TokenBucket(
                perSecond: RequestLimits.forwardsPerNode, burst: RequestLimits.turnBurst, now: now)
            queues[entry.target] = TargetQueue(rate: rate, lastUsed: now)
        }
        queues[entry.target]?.lastUsed = now
        let isNew = askers[entry.source]?.hadTurn == false
        queues[entry.target]?.turns.append(ticket, of: entry.source, isNew: isNew)
    }

    /// Sends FORWARD for the next requests of a target's queue, as many as the target accepts.
    mutating func advanceQueue(of target: NodeID, _ now: Instant, _ actions: inout [Action]) {
        while let grant = queues[target]?.next(now) {
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

    /// Advances the queues of all targets that may go on, when it is time.
    mutating func advanceQueues(_ now: Instant, _ actions: inout [Action]) {
        guard let moment = movable.at, moment <= now else { return }
        let targets = movable.targets
        movable = ([], nil)
        for target in targets { advanceQueue(of: target, now, &actions) }
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
    mutating func leaveQueue(_ ticket: Ticket, _ entry: Entry) {
        queues[entry.target]?.turns.remove(ticket, of: entry.source)
    }

    /// A target has one unanswered request less; the next `advance` goes on with its queue.
    ///
    /// A request that ends early, for example with its session, counts until this call: its target still counts it too.
    mutating func landed(_ ticket: Ticket) {
        guard let key = flights.removeValue(forKey: ticket) else { return }
        if entries[ticket] == nil { asked[key] = nil }
        let target = key.node
        queues[target]?.unanswered -= 1
        guard queues[target]?.turns.isEmpty == false else { return }
        movable.targets.insert(target)
        movable.at = Instant(nanoseconds: 0)
    }

    /// Removes queues whose buckets are full again; the work is at most constant for each new queue.
    private mutating func forgetIdleQueues(_ now: Instant) {
        guard queues.count >= 64, queues.count.nonzeroBitCount == 1 else { return }
        queues = queues.filter { _, queue in
            queue.unanswered > 0 || !queue.turns.isEmpty || now - queue.lastUsed < RequestLimits.peerMemory
        }
    }
}

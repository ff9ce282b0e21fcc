internal import DequeModule

/// The requests that wait for one target.
///
/// Links take turns, and within a link the sessions; a turn takes constant time.
///
/// Among the sessions of a link those that had no turn yet alternate with the others: so a newcomer does not wait until
/// all sessions of a flood had theirs. A source that asks again, or whose request is taken out, keeps its place.
struct RequestTurns {
    typealias Origin = RequestProxy.Origin
    typealias Source = RequestProxy.Source
    typealias Ticket = RequestProxy.Ticket

    private var links: [Origin: Sessions] = [:]
    /// The links in the order of their turns: each one of `links` once.
    private var order = Deque<Origin>()
    /// How many requests wait.
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }
    /// For how many sessions a place is held.
    var sessions: Int { links.values.reduce(0) { $0 + $1.count } }

    /// Adds a request of `source`; `isNew` says that the source had no turn yet.
    mutating func append(_ ticket: Ticket, of source: Source, isNew: Bool) {
        if links[source.origin] == nil { order.append(source.origin) }
        links[source.origin, default: Sessions()].append(ticket, of: source.session, isNew: isNew)
        count += 1
    }

    /// Takes out a request that does not wait for its turn any longer.
    mutating func remove(_ ticket: Ticket, of source: Source) {
        guard links[source.origin]?.remove(ticket, of: source.session) == true else { return }
        count -= 1
        // Who gives up keeps its place until its turn, which does not come where nobody waits any more.
        if count == 0 { self = RequestTurns() }
    }

    /// Takes out the request whose turn it is.
    mutating func next() -> Ticket? {
        while let origin = order.popFirst() {
            guard let ticket = links[origin]?.next() else {
                links[origin] = nil
                continue
            }
            order.append(origin)
            count -= 1
            return ticket
        }
        return nil
    }

    /// The sessions of one link.
    private struct Sessions {
        /// From the oldest of each session on: no more than a session may have pending.
        private var waiting: [UInt64: [Ticket]] = [:]
        /// The sessions that had a turn, and those that had none, in the order of their turns: together each one of `waiting` once.
        private var order = Deque<UInt64>()
        private var newcomers = Deque<UInt64>()
        private var isNewcomersTurn = false

        var count: Int { waiting.count }

        mutating func append(_ ticket: Ticket, of session: UInt64, isNew: Bool) {
            if waiting[session] == nil {
                if isNew { newcomers.append(session) } else { order.append(session) }
            }
            waiting[session, default: []].append(ticket)
        }

        mutating func remove(_ ticket: Ticket, of session: UInt64) -> Bool {
            guard let place = waiting[session]?.firstIndex(of: ticket) else { return false }
            waiting[session]?.remove(at: place)
            return true
        }

        mutating func next() -> Ticket? {
            while let session = nextSession() {
                guard waiting[session]?.isEmpty == false, let ticket = waiting[session]?.removeFirst() else {
                    waiting[session] = nil
                    continue
                }
                order.append(session)
                return ticket
            }
            return nil
        }

        private mutating func nextSession() -> UInt64? {
            isNewcomersTurn.toggle()
            return isNewcomersTurn
                ? newcomers.popFirst() ?? order.popFirst() : order.popFirst() ?? newcomers.popFirst()
        }
    }
}

internal import DequeModule

/// The requests that wait for one target.
///
/// Links take turns, and within a link its sessions; a turn takes constant time.
///
/// Within a link, sessions that had no turn yet alternate with the others, so that a newcomer does not wait for all
/// sessions of a flood. A source keeps its place if it asks again, or if its request is removed.
struct RequestTurns {
    typealias Origin = RequestProxy.Origin
    typealias Source = RequestProxy.Source
    typealias Ticket = RequestProxy.Ticket

    private var links: [Origin: Sessions] = [:]
    /// The links in the order of their turns; each of `links` once.
    private var order = Deque<Origin>()
    /// The number of requests that wait.
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }
    /// The number of sessions that have a place.
    var sessions: Int { links.values.reduce(0) { $0 + $1.count } }

    /// Adds a request of `source`; `isNew` tells whether the source had no turn yet.
    mutating func append(_ ticket: Ticket, of source: Source, isNew: Bool) {
        if links[source.origin] == nil { order.append(source.origin) }
        links[source.origin, default: Sessions()].append(ticket, of: source.session, isNew: isNew)
        count += 1
    }

    /// Removes a request that no longer waits for its turn.
    mutating func remove(_ ticket: Ticket, of source: Source) {
        guard links[source.origin]?.remove(ticket, of: source.session) == true else { return }
        count -= 1
        // The source keeps its place until its turn. When no request waits, no turn comes, so all places are removed.
        if count == 0 { self = RequestTurns() }
    }

    /// Removes and returns the request whose turn it is.
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
        /// The requests of each session, oldest first, at most as many as a session may have pending.
        private var waiting: [UInt64: [Ticket]] = [:]
        /// The sessions that had a turn and those that had none, in the order of their turns; together each of
        /// `waiting` once.
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

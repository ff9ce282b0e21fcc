internal import DequeModule
internal import Wire

/// Costly requests, of which the loop serves a few in each turn, so that packets do not wait for them.
///
/// Sources take turns, each with its oldest request. If all places are taken, the source with the most loses its newest
/// request.
struct BuildQueue<Source: Hashable & Sendable, Request> {
    private var shares: Shares<Source>
    private var waiting: [Source: [Request]] = [:]
    /// The sources that have requests, in the order of their turns.
    private var turns = Deque<Source>()

    /// A queue of `capacity` places.
    init(capacity: Int) { shares = Shares(capacity: capacity, most: capacity) }

    /// The number of requests that wait.
    var count: Int { shares.count }

    /// Adds a request; returns a request without a place, if any: this one, or another source's.
    mutating func add(_ request: Request, of source: Source) -> Request? {
        var dropped: Request?
        switch shares.admission(for: source) {
        case .granted: break
        case .makeRoom(let largest):
            // The source keeps at least one request, and so its turn.
            dropped = waiting[largest]?.popLast()
            shares.release(largest)
        case .shareUsed, .full: return request
        }
        if shares.places(of: source) == 0 { turns.append(source) }
        shares.add(source)
        waiting[source, default: []].append(request)
        return dropped
    }

    /// Removes and returns the request whose turn it is; nil if none waits.
    mutating func next() -> (source: Source, request: Request)? {
        guard let source = turns.popFirst() else { return nil }
        guard let request = waiting[source]?.removeFirst() else {
            preconditionFailure("a source that has a turn has a request")
        }
        shares.release(source)
        if shares.places(of: source) > 0 { turns.append(source) } else { waiting[source] = nil }
        return (source, request)
    }
}

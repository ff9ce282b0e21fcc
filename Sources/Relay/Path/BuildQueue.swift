internal import DequeModule
internal import Wire

/// Requests that cost much and are worked on a few in each turn of the loop, so that packets do not wait behind them.
///
/// Sources take turns, each with its oldest. When all places are taken, the source with the most gives its newest up.
struct BuildQueue<Source: Hashable & Sendable, Request> {
    private var shares: Shares<Source>
    private var waiting: [Source: [Request]] = [:]
    /// The sources that have requests, in the order of their turns.
    private var turns = Deque<Source>()

    /// A queue of `capacity` places.
    init(capacity: Int) { shares = Shares(capacity: capacity, most: capacity) }

    /// How many requests wait.
    var count: Int { shares.count }

    /// Adds a request; returns the one that finds no place, if any: this one, or another source's.
    mutating func add(_ request: Request, of source: Source) -> Request? {
        var dropped: Request?
        switch shares.admission(for: source) {
        case .granted: break
        case .makeRoom(let largest):
            // It keeps one at least, and so its turn.
            dropped = waiting[largest]?.popLast()
            shares.release(largest)
        case .shareUsed, .full: return request
        }
        if shares.places(of: source) == 0 { turns.append(source) }
        shares.add(source)
        waiting[source, default: []].append(request)
        return dropped
    }

    /// Takes the request whose turn it is.
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

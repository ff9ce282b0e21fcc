public import Wire

/// From which neighbours something about lists is fetched now (protocol.md, section 10.9).
///
/// A place is one neighbour's at a time. When all are taken, the place of a neighbour that has been slow gives way, so that
/// neighbours that announce and do not deliver keep nobody else out. Times are milliseconds of any one clock.
public struct ListFetches: Sendable {
    /// The most fetches at once.
    public static let places = 4
    /// For how long a neighbour that was slow is left alone, the first time and at most, in milliseconds.
    public static let pause = (first: UInt64(60_000), longest: UInt64(16 * 60_000))
    /// The most neighbours that are remembered for that.
    public static let memory = 1_024

    /// After how many milliseconds a fetch gives way to another neighbour's.
    public let patience: UInt64
    /// When the fetches that hold a place began.
    private var running: [NodeID: UInt64] = [:]
    /// The neighbours that were asked and have not answered, with a place or without.
    private var asked: Set<NodeID> = []
    private var pauses = Pauses<NodeID>(first: Self.pause.first, longest: Self.pause.longest, capacity: Self.memory)

    /// No fetches; each may take `patience` milliseconds before it gives way.
    public init(patience: UInt64) { self.patience = patience }

    /// Whether `node` may be asked at `now`.
    public func admits(_ node: NodeID, now: UInt64) -> Bool {
        !asked.contains(node) && !pauses.isPaused(node, now: now)
            && (running.count < Self.places || slowest(for: node, now: now) != nil)
    }

    /// Begins a fetch from `node`; false where it may not be asked.
    public mutating func begin(_ node: NodeID, now: UInt64) -> Bool {
        guard admits(node, now: now) else { return false }
        if running.count >= Self.places, let slow = slowest(for: node, now: now) {
            running[slow] = nil
            pauses.failed(slow, now: now)
        }
        running[node] = now
        asked.insert(node)
        return true
    }

    /// The fetch that gives its place to `node`: the longest one that has taken too long, or that of a neighbour that has been slow
    /// before, where `node` has not.
    private func slowest(for node: NodeID, now: UInt64) -> NodeID? {
        let isFresh = !pauses.hasFailed(node)
        return running.filter { other, begun in
            now - min(now, begun) >= patience || (isFresh && pauses.hasFailed(other))
        }.min { $0.value < $1.value }?.key
    }

    /// The fetch from `node` is over: it was `answered`, or the time was up.
    public mutating func ended(_ node: NodeID, answered: Bool, now: UInt64) {
        asked.remove(node)
        let hadPlace = running.removeValue(forKey: node) != nil
        if answered {
            pauses.delivered(node)
        } else if hadPlace {
            pauses.failed(node, now: now)
        }
    }
}

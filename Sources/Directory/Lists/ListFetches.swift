public import Wire

/// The running fetches of lists, proposals and their descriptors from neighbours (protocol.md, section 10.9).
///
/// Each neighbour has at most one place. When all places are taken, a slow neighbour loses its place to another. So
/// neighbours that announce lists and do not deliver them do not block the others. Times are milliseconds of one clock,
/// of any origin.
public struct ListFetches: Sendable {
    /// The maximum number of fetches at once.
    public static let places = 4
    /// The first and the longest pause of a neighbour that was slow, in milliseconds.
    public static let pause = (first: UInt64(60_000), longest: UInt64(16 * 60_000))
    /// The maximum number of neighbours whose pauses are remembered.
    public static let memory = 1_024

    /// The time in milliseconds after which a fetch may lose its place to another neighbour's.
    public let patience: UInt64
    /// The start of each fetch that holds a place.
    private var running: [NodeID: UInt64] = [:]
    /// The neighbours that have an open question, with or without a place.
    private var asked: Set<NodeID> = []
    private var pauses = Pauses<NodeID>(first: Self.pause.first, longest: Self.pause.longest, capacity: Self.memory)

    /// No fetches; each keeps its place for at least `patience` milliseconds.
    public init(patience: UInt64) { self.patience = patience }

    /// Whether `node` may be asked at `now`.
    public func admits(_ node: NodeID, now: UInt64) -> Bool {
        !asked.contains(node) && !pauses.isPaused(node, now: now)
            && (running.count < Self.places || slowest(for: node, now: now) != nil)
    }

    /// Begins a fetch from `node`; false if it may not be asked.
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

    /// The fetch that loses its place to `node`: the longest-running one that has had its time, or, if `node` has no
    /// failures, one of a neighbour that has.
    private func slowest(for node: NodeID, now: UInt64) -> NodeID? {
        let isFresh = !pauses.hasFailed(node)
        return running.filter { other, begun in
            now - min(now, begun) >= patience || (isFresh && pauses.hasFailed(other))
        }.min { $0.value < $1.value }?.key
    }

    /// Ends the fetch from `node`, which has `answered` or run out of time.
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

internal import Wire

/// Notices nodes that nobody can use although the network has listed them for more than two epochs.
struct Overdue {
    private let patience: TimeSpan
    /// Since when each node is watched.
    private var watched: [NodeID: Instant] = [:]

    /// The patience in a network with epochs of this length.
    init(epochSeconds: UInt64) {
        let epoch = TimeSpan.seconds(Int64(clamping: min(epochSeconds, 604_800)))
        patience = epoch + epoch + .seconds(10)
    }

    /// Continues with the nodes that are watched from now on.
    mutating func follow(_ nodes: [NodeID], now: Instant) {
        for node in nodes where watched[node] == nil { watched[node] = now }
        guard watched.count > nodes.count else { return }
        let kept = Set(nodes)
        watched = watched.filter { kept.contains($0.key) }
    }

    /// Whether the node has been watched for so long that its descriptor should be here.
    func isWatchedLong(_ node: NodeID, now: Instant) -> Bool { watched[node].map { now - $0 > patience } ?? false }
}

internal import Wire

/// Notices nodes that nobody can use, or that show no sign of it, for more than two epochs.
struct Overdue {
    private let patience: TimeSpan
    /// Since when each node is watched.
    private var watched: [NodeID: Instant] = [:]
    /// Since when each node has passed no test, though it had to show that it serves.
    private var unproven: [NodeID: Instant] = [:]

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
        unproven = unproven.filter { kept.contains($0.key) }
    }

    /// Whether the node has been watched for so long that its descriptor should be here.
    func isWatchedLong(_ node: NodeID, now: Instant) -> Bool { watched[node].map { now - $0 > patience } ?? false }

    /// Whether a node without a descriptor should have published one, which should be here.
    ///
    /// It has been watched for long, because a tester that has just started may not have learnt of it. With a ledger,
    /// it also became active long ago, at `activeSince`.
    func isMissing(_ node: NodeID, activeSince: UnixTime?, at time: UnixTime, now: Instant) -> Bool {
        guard isWatchedLong(node, now: now) else { return false }
        guard let activeSince else { return true }
        let age = time.seconds - min(time.seconds, activeSince.seconds)
        return TimeSpan.seconds(Int64(clamping: age)) > patience
    }

    /// Notes a test that did not show that the node serves.
    ///
    /// Returns whether none has shown it for too long.
    mutating func isUnprovenLong(_ node: NodeID, now: Instant) -> Bool {
        let since = unproven[node] ?? now
        if watched[node] != nil { unproven[node] = since }
        return now - since > patience
    }

    /// Notes that the node serves, or need not show it.
    mutating func proven(_ node: NodeID) { unproven[node] = nil }
}

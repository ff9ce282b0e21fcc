internal import Wire

/// The nodes of the last three trusted snapshots.
///
/// Clients choose targets by snapshots that may be older than this node's.
final class RecentNodes: SnapshotFollower {
    private static let count = 3
    /// The snapshots, newest first.
    private var snapshots: [Snapshot]

    /// The nodes of `snapshot`, until there is a newer one.
    init(_ snapshot: Snapshot) { snapshots = [snapshot] }

    /// Whether one of the snapshots has the node, as staked or suspended.
    func contains(_ node: NodeID) -> Bool { snapshots.contains { $0.isListed(node) } }

    func follow(_ snapshot: Snapshot, digest: Bytes32) {
        snapshots.insert(snapshot, at: 0)
        if snapshots.count > Self.count { snapshots.removeLast() }
    }
}

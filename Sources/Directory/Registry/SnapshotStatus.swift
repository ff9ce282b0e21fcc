public import Wire

/// The trusted snapshot, for display: two people who see the same height and digest see the same network.
public struct SnapshotStatus: Hashable, Sendable {
    /// The snapshot's height.
    public let height: UInt64
    /// When it was made.
    public let time: UnixTime
    /// The first eight bytes of its digest in hexadecimal.
    public let digest: String
    /// The number of staked nodes in it.
    public let nodes: Int
    /// The round of the list of descriptors in use; nil if there is none.
    public let list: UInt64?

    /// The status of `snapshot`, whose digest is `digest`, and of the `list` in use.
    public init(_ snapshot: Snapshot, digest: Bytes32, list: UInt64? = nil) {
        self.list = list
        height = snapshot.height
        time = snapshot.time
        self.digest = hexadecimal(Array(digest.array.prefix(8)))
        nodes = snapshot.stakedCount
    }
}

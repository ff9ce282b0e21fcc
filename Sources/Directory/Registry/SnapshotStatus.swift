public import Wire

/// Which snapshot is trusted, for people: two who see the same height and digest see the same network.
public struct SnapshotStatus: Hashable, Sendable {
    /// The snapshot's height.
    public let height: UInt64
    /// When it was made.
    public let time: UnixTime
    /// The first eight bytes of its digest in hexadecimal digits.
    public let digest: String
    /// How many nodes are staked in it.
    public let nodes: Int
    /// The round of the list of descriptors in use; nil where there is none.
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

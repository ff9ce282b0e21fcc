/// The trusted snapshot of the network: two people who see the same height and digest see the same network.
public struct SnapshotReport: Codable, Equatable, Sendable {
    /// The snapshot's height.
    public var height: UInt64
    /// The first 16 hexadecimal digits of its digest.
    public var digest: String
    /// When it was made, in seconds since 1970.
    public var time: UInt64
    /// The number of staked nodes in it.
    public var nodes: Int
    /// How many nodes that a client asked have the same one.
    public var witnesses: Int?
    /// Whether a node has sent a client another one of the same height.
    public var contradicted: Bool?
    /// The round of the list of descriptors in use; absent if there is none, and each node's newest descriptor is used.
    public var list: UInt64?

    /// A report of these values.
    public init(
        height: UInt64, digest: String, time: UInt64, nodes: Int, witnesses: Int? = nil, contradicted: Bool? = nil,
        list: UInt64? = nil
    ) {
        self.height = height
        self.digest = digest
        self.time = time
        self.nodes = nodes
        self.witnesses = witnesses
        self.list = list
        self.contradicted = contradicted
    }
}

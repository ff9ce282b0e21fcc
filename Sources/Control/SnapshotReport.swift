/// Which snapshot of the network is trusted: two people who see the same height and digest see the same network.
public struct SnapshotReport: Codable, Equatable, Sendable {
    /// The snapshot's height.
    public var height: UInt64
    /// The first 16 hexadecimal digits of its digest.
    public var digest: String
    /// When it was made, in seconds since 1970.
    public var time: UInt64
    /// How many nodes are staked in it.
    public var nodes: Int
    /// How many nodes a client has asked that have the same one.
    public var witnesses: Int?
    /// Whether a node has shown a client another one of the same height.
    public var contradicted: Bool?

    /// A report of these values.
    public init(
        height: UInt64, digest: String, time: UInt64, nodes: Int, witnesses: Int? = nil, contradicted: Bool? = nil
    ) {
        self.height = height
        self.digest = digest
        self.time = time
        self.nodes = nodes
        self.witnesses = witnesses
        self.contradicted = contradicted
    }
}

/// The state that a node reported in answer to an onion request.
public struct RequestReport: Codable, Equatable, Sendable {
    /// The node's id.
    public var node: String
    /// The height of the snapshot that the node trusts.
    public var height: UInt64
    /// How full the node's store is, in sixteenths of its quota.
    public var fill: Int
    /// Whether the node stores items of apps.
    public var stores: Bool
    /// How long the answer took, in milliseconds.
    public var time: Double

    enum CodingKeys: String, CodingKey {
        case node, height, fill, stores
        case time = "time_ms"
    }

    /// A report; the time is kept to 1 µs.
    public init(node: String, height: UInt64, fill: Int, stores: Bool, time: Double) {
        self.node = node
        self.height = height
        self.fill = fill
        self.stores = stores
        self.time = rounded(time, decimals: 3)
    }
}

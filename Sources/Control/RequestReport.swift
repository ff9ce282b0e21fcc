/// What a node says of itself by an onion request.
public struct RequestReport: Codable, Equatable, Sendable {
    /// The node's id.
    public var node: String
    /// The height of the snapshot that it trusts.
    public var height: UInt64
    /// How full its store is, in sixteenths of the quota.
    public var fill: Int
    /// Whether it stores for applications.
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

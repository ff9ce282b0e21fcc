/// A relay's report about its oxend daemon.
public struct OxendReport: Codable, Equatable, Sendable {
    /// The daemon's address, without user and password.
    public var address: String
    /// The height of its chain; 0 before the first list.
    public var height: UInt64
    /// How many nodes it lists as active.
    public var active: Int
    /// How many nodes it lists as decommissioned.
    public var decommissioned: Int
    /// The height of the newest snapshot made from its lists; 0: none yet.
    public var snapshotHeight: UInt64
    /// The time without a good answer, in seconds.
    public var silence: Double
    /// The problem with its last answer; nil if there was none.
    public var trouble: String?
    /// Whether it accepts this node's pings; nil before the first.
    public var takesPings: Bool?
    /// The state of this node in the daemon's list: `open`, `active` or `decommissioned`; nil if it is not listed.
    public var standing: String?
    /// Accepted test results.
    public var reports: UInt64

    enum CodingKeys: String, CodingKey {
        case address, height, active, decommissioned, trouble, standing, reports
        case snapshotHeight = "snapshot_height"
        case silence = "silence_s"
        case takesPings = "takes_pings"
    }

    /// A report of these values; the silence is kept to 0.1 s.
    public init(
        address: String, height: UInt64, active: Int, decommissioned: Int, snapshotHeight: UInt64, silence: Double,
        trouble: String?, takesPings: Bool?, standing: String?, reports: UInt64
    ) {
        self.address = address
        self.height = height
        self.active = active
        self.decommissioned = decommissioned
        self.snapshotHeight = snapshotHeight
        self.silence = rounded(silence, decimals: 1)
        self.trouble = trouble
        self.takesPings = takesPings
        self.standing = standing
        self.reports = reports
    }
}

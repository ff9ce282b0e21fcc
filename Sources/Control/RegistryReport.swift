/// How a relay stands in the registry of a network with a ledger.
public struct RegistryReport: Codable, Equatable, Sendable {
    /// How a node stands.
    public enum State: String, Codable, Sendable, CaseIterable {
        /// It is not registered.
        case unregistered
        /// Its stake is not full.
        case open
        /// It serves and earns.
        case active
        /// It is out for a time that it asked for.
        case maintenance
        /// Others found that it does not serve.
        case decommissioned
        /// It was away for longer than its credit, and its stake is locked.
        case deregistered
    }

    /// How it stands.
    public var state: State
    /// The height of the newest block, and its time in seconds since 1970.
    public var height: UInt64, time: UInt64
    /// The sum of the contributions in atomic units.
    public var stake: UInt64 = 0
    /// The operator's part of each reward, in 1/10,000.
    public var fee = 0
    /// For how many seconds the node may still be away.
    public var credit: UInt64 = 0
    /// What the operator's account has not claimed, in atomic units.
    public var rewards: UInt64 = 0
    /// When the node leaves, in seconds since 1970; nil: nobody asked.
    public var leavesAt: UInt64?
    /// When its maintenance is over, in seconds since 1970; nil: it is in none.
    public var maintenanceUntil: UInt64?
    /// When it is deregistered unless it serves again, in seconds since 1970; nil: it serves.
    public var deregistersAt: UInt64?
    /// Until when the stake is locked, in seconds since 1970; nil: it is not.
    public var lockedUntil: UInt64?

    /// How many requests among authorities were refused since clocks differ; nil where this node is no authority.
    public var clockRefusals: UInt64?

    enum CodingKeys: String, CodingKey {
        case state, height, time, stake, fee, credit, rewards
        case leavesAt = "leaves_at"
        case maintenanceUntil = "maintenance_until"
        case deregistersAt = "deregisters_at"
        case lockedUntil = "locked_until"
        case clockRefusals = "clock_refusals"
    }

    /// A node in `state` as of a block, with none of the other values.
    public init(state: State, height: UInt64, time: UInt64) {
        self.state = state
        self.height = height
        self.time = time
    }
}

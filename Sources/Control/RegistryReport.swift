/// A relay's state in the registry of a network with a ledger.
public struct RegistryReport: Codable, Equatable, Sendable {
    /// The states of a node.
    public enum State: String, Codable, Sendable, CaseIterable {
        /// It is not registered.
        case unregistered
        /// Its stake is not full.
        case open
        /// It serves and gets rewards.
        case active
        /// It is out of service for a time, at its own request.
        case maintenance
        /// Others found that it does not serve.
        case decommissioned
        /// It failed to serve for longer than its credit, and its stake is locked.
        case deregistered
    }

    /// The node's state.
    public var state: State
    /// The height of the newest block, and its time in seconds since 1970.
    public var height: UInt64, time: UInt64
    /// The sum of the contributions in atomic units.
    public var stake: UInt64 = 0
    /// The operator's fee in 1/10,000.
    public var fee = 0
    /// The seconds for which the node may still fail to serve.
    public var credit: UInt64 = 0
    /// The unclaimed rewards of the operator's account, in atomic units.
    public var rewards: UInt64 = 0
    /// When the node leaves, in seconds since 1970; nil: no leave was requested.
    public var leavesAt: UInt64?
    /// When its maintenance ends, in seconds since 1970; nil: it has none.
    public var maintenanceUntil: UInt64?
    /// When it is deregistered unless it serves again, in seconds since 1970; nil: it serves.
    public var deregistersAt: UInt64?
    /// Until when the stake is locked, in seconds since 1970; nil: it is not.
    public var lockedUntil: UInt64?

    /// How many requests among authorities were refused because clocks differ; nil if this node is not an authority.
    public var clockRefusals: UInt64?

    enum CodingKeys: String, CodingKey {
        case state, height, time, stake, fee, credit, rewards
        case leavesAt = "leaves_at"
        case maintenanceUntil = "maintenance_until"
        case deregistersAt = "deregisters_at"
        case lockedUntil = "locked_until"
        case clockRefusals = "clock_refusals"
    }

    /// A node in `state` at a block; the other values are empty.
    public init(state: State, height: UInt64, time: UInt64) {
        self.state = state
        self.height = height
        self.time = time
    }
}

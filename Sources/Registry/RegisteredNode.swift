internal import Wire

/// A node's entry in the registry.
public struct RegisteredNode: Hashable, Sendable {
    /// The state of a node.
    public enum Standing: UInt8, Hashable, Sendable {
        /// Its stake is not full yet.
        case open = 1
        /// Its stake is full and it serves: it may be a hop and gets rewards.
        case active = 2
        /// Its stake is full and remains, but the node does not serve: it is not a hop and gets no rewards.
        case decommissioned = 3

        /// The name in reports.
        public var name: String {
            switch self {
            case .open: "open"
            case .active: "active"
            case .decommissioned: "decommissioned"
            }
        }
    }

    /// The part of one account in a node's stake.
    public struct Contribution: Hashable, Sendable {
        /// The contributor.
        public let account: Account
        /// The amount in atomic units.
        public internal(set) var amount: UInt64
    }

    /// A measurement of the node by a node of another operator.
    public struct Report: Hashable, Sendable {
        /// The operator whose node measured it.
        public let operatorAccount: Account
        /// The height of the quorum that the measuring node belonged to.
        public internal(set) var height: UInt64
        /// When the report was entered in the registry, in seconds since 1970.
        public internal(set) var time: UInt64
        /// The measured capacity, in 1,000 bytes a second; 0: the node did not answer.
        public internal(set) var capacity: UInt32
    }

    /// The state of the node.
    public internal(set) var standing: Standing
    /// The operator's part of each reward before it is shared, in 1/10,000.
    public internal(set) var fee: UInt16
    /// The height at which the standing last changed.
    public internal(set) var changedHeight: UInt64
    /// When the stake became full, in seconds since 1970; 0 while the node is open.
    public internal(set) var activeSince: UInt64 = 0
    /// The credit and the grace at `creditTime`, in seconds; 0 while the node is open.
    public internal(set) var allowance: UInt64 = 0
    /// Since when the credit grows (active) or shrinks (decommissioned), in seconds since 1970; 0 while open.
    public internal(set) var creditTime: UInt64 = 0
    /// When the node leaves, in seconds since 1970; 0 if its leave was not requested.
    public internal(set) var leavesAt: UInt64 = 0
    /// When the newest maintenance ends or ended, in seconds since 1970; 0: there was none.
    public internal(set) var maintenanceEnd: UInt64 = 0
    /// Where the node stands among the shards of the store: set when the stake becomes full, and never changed; 0 while
    /// open.
    public internal(set) var placement: UInt64 = 0
    /// The contributions, the operator's first, the others in the order in which they joined.
    public internal(set) var contributions: [Contribution]

    /// The newest reports, at most one from each operator, by ascending account.
    public internal(set) var reports: [Report] = []

    /// The median of the reports, in 1,000 bytes a second, the lower one of two; nil without any.
    public var capacity: UInt32? {
        reports.isEmpty ? nil : reports.map(\.capacity).sorted()[(reports.count - 1) / 2]
    }

    /// The account that runs the node: the first contributor.
    public var operatorAccount: Account { contributions[0].account }

    /// The sum of the contributions.
    public var stake: UInt64 { contributions.reduce(0) { $0 &+ $1.amount } }

    /// The amount that `account` has in the node; nil if none.
    public func contribution(of account: Account) -> UInt64? {
        contributions.first { $0.account == account }?.amount
    }

    /// Whether the node is decommissioned at its own request, for a time that is not over.
    public var isInMaintenance: Bool { standing == .decommissioned && maintenanceEnd > creditTime }

    /// When a decommissioned node is deregistered, in seconds since 1970, unless it is active again before.
    public var deregistersAt: UInt64 { creditTime + allowance }

    /// The credit at `time`, in seconds: how long the node may still fail to serve.
    public func credit(at time: UInt64, _ parameters: RegistryParameters) -> UInt64 {
        let (left, grace) = (allowance(at: time, parameters), UInt64(parameters.creditGrace))
        return left - min(left, grace)
    }

    /// The credit and grace at `time`, in seconds: grown while active, used up while decommissioned.
    func allowance(at time: UInt64, _ parameters: RegistryParameters) -> UInt64 {
        let passed = time - min(time, creditTime)
        switch standing {
        case .open: return 0
        case .active:
            let grown = portion(of: passed, UInt64(parameters.creditGrowth), UInt64(parameters.creditPeriod))
            let sum = allowance.addingReportingOverflow(grown)
            return sum.overflow ? parameters.allowanceLimit : min(sum.partialValue, parameters.allowanceLimit)
        case .decommissioned: return allowance - min(allowance, passed)
        }
    }

    /// Whether the node is due at `time` to leave or to be deregistered, and which.
    func due(at time: UInt64) -> Departure? {
        let leaves = leavesAt != 0 && leavesAt <= time
        let isOut = standing == .decommissioned && !isInMaintenance && deregistersAt <= time
        if isOut && !(leaves && leavesAt <= deregistersAt) { return .deregistered }
        return leaves ? .left : nil
    }

    /// The way in which a node leaves the registry.
    enum Departure {
        /// Its stake is free.
        case left
        /// Its stake is locked.
        case deregistered
    }
}

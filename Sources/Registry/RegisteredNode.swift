internal import Wire

/// What the registry holds about a node.
public struct RegisteredNode: Hashable, Sendable {
    /// How a node stands.
    public enum Standing: UInt8, Hashable, Sendable {
        /// Its stake is not full yet.
        case open = 1
        /// Its stake is full and it serves: it may be a hop and earns.
        case active = 2
        /// Its stake is full and stays, but the node does not serve: it is no hop and earns nothing.
        case decommissioned = 3
    }

    /// What one account has in the node.
    public struct Contribution: Hashable, Sendable {
        /// Whose it is.
        public let account: Account
        /// How much it is.
        public internal(set) var amount: UInt64
    }

    /// What a node of one operator has measured of the node.
    public struct Report: Hashable, Sendable {
        /// Whose node measured it.
        public let operatorAccount: Account
        /// The height of the quorum that it belonged to.
        public internal(set) var height: UInt64
        /// When the report came into the registry, in seconds since 1970.
        public internal(set) var time: UInt64
        /// What the node carried, in 1,000 bytes a second; 0: it did not answer.
        public internal(set) var capacity: UInt32
    }

    /// How the node stands.
    public internal(set) var standing: Standing
    /// The operator's part of each reward before it is shared, in 1/10,000.
    public internal(set) var fee: UInt16
    /// The height at which the standing last changed.
    public internal(set) var changedHeight: UInt64
    /// When the stake became full, in seconds since 1970; 0 while the node is open.
    public internal(set) var activeSince: UInt64 = 0
    /// The credit at `creditTime`, in seconds; 0 while the node is open.
    public internal(set) var credit: UInt64 = 0
    /// From when the credit grows (active) or shrinks (decommissioned), in seconds since 1970; 0 while open.
    public internal(set) var creditTime: UInt64 = 0
    /// When the node leaves, in seconds since 1970; 0 when nobody asked for it.
    public internal(set) var leavesAt: UInt64 = 0
    /// The contributions, the operator's first, the others in the order in which they joined.
    public internal(set) var contributions: [Contribution]

    /// The newest report of each of some other operators, by ascending account.
    public internal(set) var reports: [Report] = []

    /// What others measured, in 1,000 bytes a second: the median of the reports, the lower one of two; nil without any.
    public var capacity: UInt32? {
        reports.isEmpty ? nil : reports.map(\.capacity).sorted()[(reports.count - 1) / 2]
    }

    /// Who runs the node.
    public var operatorAccount: Account { contributions[0].account }

    /// The sum of the contributions.
    public var stake: UInt64 { contributions.reduce(0) { $0 &+ $1.amount } }

    /// What `account` has in the node.
    public func contribution(of account: Account) -> UInt64? {
        contributions.first { $0.account == account }?.amount
    }

    /// The credit at `time` in seconds, grown while active and used up while decommissioned.
    public func credit(at time: UInt64, _ parameters: RegistryParameters) -> UInt64 {
        let passed = time - min(time, creditTime)
        switch standing {
        case .open: return 0
        case .active:
            let grown = portion(of: passed, UInt64(parameters.creditGrowth), UInt64(parameters.creditPeriod))
            let sum = credit.addingReportingOverflow(grown)
            return sum.overflow ? UInt64(parameters.creditLimit) : min(sum.partialValue, UInt64(parameters.creditLimit))
        case .decommissioned: return credit - min(credit, passed)
        }
    }

    /// Whether the node leaves or is deregistered by `time`, and which.
    func due(at time: UInt64) -> Departure? {
        let leaves = leavesAt != 0 && leavesAt <= time
        let isOut = standing == .decommissioned && creditTime + credit <= time
        if isOut && !(leaves && leavesAt <= creditTime + credit) { return .deregistered }
        return leaves ? .left : nil
    }

    /// How a node goes.
    enum Departure {
        /// Its stake is free.
        case left
        /// Its stake is locked.
        case deregistered
    }
}

/// The nodes of the registry.
public struct NodesReport: Codable, Sendable, Equatable {
    /// The part of an account in a node's stake.
    public struct Part: Codable, Sendable, Equatable {
        /// The account, 64 hexadecimal digits.
        public var account: String
        /// The amount in atomic units.
        public var amount: UInt64

        /// The part `amount` of `account`.
        public init(account: String, amount: UInt64) {
            self.account = account
            self.amount = amount
        }
    }

    /// One node.
    ///
    /// It has more members than most types: one for each key of the JSON.
    public struct Node: Codable, Sendable, Equatable {
        /// The node's id.
        public var id: String
        /// `open`, `active`, `maintenance`, `decommissioned`, or `deregistered` in a report about one node.
        public var state: String
        /// The operator's account.
        public var `operator`: String
        /// The sum of the contributions in atomic units.
        public var stake: UInt64
        /// The operator's fee in 1/10,000.
        public var fee: Int
        /// For how many seconds it has been active without interruption; 0 if it is not active.
        public var uptime: UInt64
        /// The seconds of its credit; it may fail to serve for these and the grace after them.
        public var credit: UInt64
        /// How many seconds ago a test ended, by this node or by the ledger's reports; nil: never.
        public var lastTest: UInt64?
        /// How many seconds ago it last passed a test by this node; nil: not since the start, or it is this node.
        public var lastPass: UInt64?
        /// The marks that this node has against it: from 3 on it counts as dead; nil: not tested yet.
        public var marks: Int?
        /// The same of this node's tests of its storage: how many seconds ago the last one ended, and the marks.
        public var lastStorageTest: UInt64?, storageMarks: Int?
        /// The measured capacity in 1,000 bytes a second; nil: not measured yet.
        public var capacity: UInt32?
        /// When it leaves, in seconds since 1970; nil: no leave was requested.
        public var leavesAt: UInt64?
        /// When its maintenance ends, in seconds since 1970; nil: it has none.
        public var maintenanceUntil: UInt64?
        /// When it is deregistered unless it serves again, in seconds since 1970; nil: it serves.
        public var deregistersAt: UInt64?
        /// Until when the stake of a deregistered node is locked, in seconds since 1970.
        public var lockedUntil: UInt64?
        /// The seconds after the end of its credit until a node is deregistered; only for a deregistered one.
        public var grace: UInt64?
        /// The contributions, the operator's first; only in a report about one node.
        public var contributions: [Part]?

        enum CodingKeys: String, CodingKey {
            case id, state, `operator`, stake, fee, uptime, credit, capacity, contributions
            case marks, grace
            case lastTest = "last_test"
            case lastPass = "last_pass"
            case lastStorageTest = "last_storage_test"
            case storageMarks = "storage_marks"
            case leavesAt = "leaves_at"
            case maintenanceUntil = "maintenance_until"
            case deregistersAt = "deregisters_at"
            case lockedUntil = "locked_until"
        }

        /// A node with these values; the others are empty.
        public init(
            id: String, state: String, operator: String, stake: UInt64, fee: Int, uptime: UInt64, credit: UInt64
        ) {
            self.id = id
            self.state = state
            self.operator = `operator`
            self.stake = stake
            self.fee = fee
            self.uptime = uptime
            self.credit = credit
        }
    }

    /// The height of the last block.
    public var height: UInt64
    /// Its time, in seconds since 1970.
    public var time: UInt64
    /// The full stake of a node in atomic units.
    public var fullStake: UInt64
    /// The pool in atomic units.
    public var pool: UInt64
    /// The nodes, by ascending id.
    public var nodes: [Node]

    enum CodingKeys: String, CodingKey {
        case height, time, pool, nodes
        case fullStake = "full_stake"
    }

    /// The registry at `height`.
    public init(height: UInt64, time: UInt64, fullStake: UInt64, pool: UInt64, nodes: [Node]) {
        self.height = height
        self.time = time
        self.fullStake = fullStake
        self.pool = pool
        self.nodes = nodes
    }
}

/// The holdings of an account.
public struct AccountReport: Codable, Sendable, Equatable {
    /// A part in a node.
    public struct Stake: Codable, Sendable, Equatable {
        /// The node.
        public var node: String
        /// The node's state.
        public var state: String
        /// The amount in atomic units.
        public var amount: UInt64
        /// When the node leaves, in seconds since 1970; nil: no leave was requested.
        public var leavesAt: UInt64?
        /// When the node is deregistered unless it serves again, in seconds since 1970; nil: it serves.
        public var deregistersAt: UInt64?

        enum CodingKeys: String, CodingKey {
            case node, state, amount
            case leavesAt = "leaves_at"
            case deregistersAt = "deregisters_at"
        }

        /// The part `amount` in `node`.
        public init(node: String, state: String, amount: UInt64) {
            self.node = node
            self.state = state
            self.amount = amount
        }
    }

    /// The stake of a deregistered node.
    public struct Locked: Codable, Sendable, Equatable {
        /// The amount in atomic units.
        public var amount: UInt64
        /// When it becomes free, in seconds since 1970.
        public var until: UInt64
        /// The node that was deregistered.
        public var node: String
        /// The seconds after the end of its credit until it was deregistered; nil in reports of older versions.
        public var grace: UInt64?

        /// `amount` from `node`, locked until `until`.
        public init(amount: UInt64, until: UInt64, node: String) {
            self.node = node
            self.amount = amount
            self.until = until
        }
    }

    /// The account, 64 hexadecimal digits.
    public var account: String
    /// The network's id, 64 hexadecimal digits.
    public var network: String
    /// The height of the last block.
    public var height: UInt64
    /// The free balance in atomic units.
    public var balance: UInt64
    /// Rewards that were not claimed yet, in atomic units.
    public var rewards: UInt64
    /// The number of applied operations of the account.
    public var nonce: UInt64
    /// The fee of the account's operations, in atomic units.
    public var operationFee: UInt64
    /// Its stakes in nodes.
    public var stakes: [Stake]
    /// Its locked stakes.
    public var locked: [Locked]

    enum CodingKeys: String, CodingKey {
        case account, network, height, balance, rewards, nonce, stakes, locked
        case operationFee = "operation_fee"
    }

    /// The holdings of `account`.
    public init(
        account: String, network: String, height: UInt64, balance: UInt64, rewards: UInt64, nonce: UInt64,
        operationFee: UInt64, stakes: [Stake], locked: [Locked]
    ) {
        self.account = account
        self.network = network
        self.height = height
        self.balance = balance
        self.rewards = rewards
        self.nonce = nonce
        self.operationFee = operationFee
        self.stakes = stakes
        self.locked = locked
    }
}

/// The state of an operation on the registry.
public struct OperationReport: Codable, Sendable, Equatable {
    /// The states of an operation.
    public enum State: String, Codable, Sendable {
        /// It waits for a block.
        case waiting
        /// It is in a block.
        case applied
        /// A rule refuses it.
        case refused
        /// No block contained it in time.
        case timedOut = "timed_out"
    }

    /// The operation's hash, 64 hexadecimal digits.
    public var operation: String
    /// The operation's state.
    public var state: State
    /// The height of its block.
    public var height: UInt64?
    /// The name of the rule that refuses it (docs/registry.md, "Refusals").
    public var rule: String?

    /// The operation `operation` in `state`.
    public init(operation: String, state: State, height: UInt64? = nil, rule: String? = nil) {
        self.operation = operation
        self.state = state
        self.height = height
        self.rule = rule
    }
}

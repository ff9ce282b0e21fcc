internal import OnionCrypto
public import Wire

/// The registry of a staked network: the accounts, the staked nodes and their states (docs/registry.md).
///
/// A value that depends only on its genesis and the blocks and operations. `begin` opens a block, and `apply` carries
/// out one operation. Either throws the rule that refuses it and then leaves the state unchanged. Amounts are in atomic
/// units, and none is ever lost: see `isBalanced`.
public struct RegistryState: Hashable, Sendable {
    /// The largest block time in seconds since 1970.
    public static let timeLimit: UInt64 = 1 << 40

    /// The amounts of an account outside of nodes.
    public struct Holding: Hashable, Sendable {
        /// The amount that the account may spend; what is staked or locked is not in it.
        public internal(set) var balance: UInt64
        /// Rewards that were not claimed yet.
        public internal(set) var rewards: UInt64 = 0
        /// How many operations of the account were applied.
        public internal(set) var nonce: UInt64 = 0
    }

    /// One account's part in the stake of a deregistered node.
    public struct StakeLock: Hashable, Comparable, Sendable {
        /// When it becomes free, in seconds since 1970.
        public let until: UInt64
        /// The account that owns it.
        public let account: Account
        /// The node that it was staked in.
        public let node: NodeID
        /// The amount in atomic units.
        public internal(set) var amount: UInt64

        /// Whether `a` becomes free earlier, or at the same time for a lower account or from a lower node.
        public static func < (a: StakeLock, b: StakeLock) -> Bool {
            (a.until, a.account, a.node) < (b.until, b.account, b.node)
        }
    }

    /// The nodes that may judge by votes of one height.
    public struct Quorum: Hashable, Sendable {
        /// The height of the block that drew them.
        public let height: UInt64
        /// The content hash of the block at that height, which votes contain.
        public let block: Bytes32
        /// The seed from which the ranks of this height are derived.
        public let seed: Bytes32
        /// The nodes by rank, one more than a quorum has, so that a node in it need not judge itself.
        public let nodes: [NodeID]
    }

    /// The network's id.
    public let network: Bytes32
    /// The network's parameters.
    public let parameters: RegistryParameters
    /// The sum of all amounts, which never changes.
    public let supply: UInt64
    /// The height of the last block.
    public internal(set) var height: UInt64
    /// The time of the last block, in seconds since 1970.
    public internal(set) var time: UInt64
    /// How many operations of this block were applied.
    public internal(set) var operationsInBlock: UInt32 = 0
    /// The end of the time for which rewards are paid out, in seconds since 1970.
    public internal(set) var distributedUntil: UInt64
    /// The amount from which rewards are paid.
    public internal(set) var pool: UInt64
    /// The part of the network fees that the treasury has not claimed yet.
    public internal(set) var fees: UInt64 = 0
    /// The accounts.
    public internal(set) var accounts: [Account: Holding]
    /// The nodes, open ones included.
    public internal(set) var nodes: [NodeID: RegisteredNode] = [:]
    /// The locked stakes of deregistered nodes, in order.
    public internal(set) var locks: [StakeLock] = []
    /// The quorums that may still judge, by ascending height.
    public internal(set) var quorums: [Quorum] = []

    /// The genesis: the amounts in the pool and in each account, at `time` (seconds since 1970) and height 0.
    ///
    /// Nil if the parameters are not valid, the time is beyond `timeLimit`, an account is 32 zero bytes, there are too
    /// many, or the sum exceeds 64 bits.
    public init?(
        network: Bytes32, parameters: RegistryParameters, time: UInt64, pool: UInt64, balances: [Account: UInt64]
    ) {
        var supply = pool
        for balance in balances.values {
            let sum = supply.addingReportingOverflow(balance)
            if sum.overflow { return nil }
            supply = sum.partialValue
        }
        guard parameters.areValid, time <= Self.timeLimit, balances[RegistryOperation.nobody] == nil else { return nil }
        var accounts = balances.mapValues { Holding(balance: $0) }
        if accounts[parameters.treasury] == nil { accounts[parameters.treasury] = Holding(balance: 0) }
        guard accounts.count <= Int(parameters.maximumAccounts), parameters.treasury != RegistryOperation.nobody else {
            return nil
        }
        self.init(
            network: network, parameters: parameters, supply: supply, height: 0, time: time, distributedUntil: time,
            pool: pool, accounts: accounts)
    }

    init(
        network: Bytes32, parameters: RegistryParameters, supply: UInt64, height: UInt64, time: UInt64,
        distributedUntil: UInt64, pool: UInt64, accounts: [Account: Holding]
    ) {
        self.network = network
        self.parameters = parameters
        self.supply = supply
        self.height = height
        self.time = time
        self.distributedUntil = distributedUntil
        self.pool = pool
        self.accounts = accounts
    }

    /// 32 bytes derived from the last block's maker and the previous seed; zeros at the genesis.
    public var seed: Bytes32 { quorums.last?.seed ?? Bytes32(copying: [UInt8](repeating: 0, count: 32).rawSpan) }

    /// The content hash of the block that is open; zeros where no block of this height was begun.
    var openBlock: Bytes32 { quorums.last.flatMap { $0.height == height ? $0.block : nil } ?? Bytes32() }

    /// The sum of all amounts: free balances, rewards, stakes, locked stakes, the pool and the fees.
    public var total: UInt128 {
        var sum = UInt128(pool) + UInt128(fees)
        for holding in accounts.values { sum += UInt128(holding.balance) + UInt128(holding.rewards) }
        for node in nodes.values { sum += UInt128(node.stake) }
        for lock in locks { sum += UInt128(lock.amount) }
        return sum
    }

    /// Whether the sum of all amounts is the supply; true after any block and any operation.
    public var isBalanced: Bool { total == UInt128(supply) }

    /// The digest of the state: `H("tunic registry state" ‖ 0 ‖ encoding)`; costs a pass over the whole state.
    public var digest: Bytes32 {
        let bytes = MessagePrefix.registryState.bytes + encoded()
        return Blake2b.digest(bytes.rawSpan)
    }

    /// The snapshot: active nodes as staked, decommissioned ones as suspended, with their operators, placements and
    /// measured weights.
    ///
    /// A node without measurements gets the lower quartile of the measured weights, at least 1.
    public func snapshot() -> Snapshot? {
        let measured = nodes.values.compactMap(\.capacity).sorted()
        let unmeasured = measured.isEmpty ? 1 : measured[(measured.count - 1) / 4]
        let entries = nodes.compactMap { (id, node) -> Snapshot.Entry? in
            guard node.standing != .open else { return nil }
            return Snapshot.Entry(
                node: id, operatorID: node.operatorAccount.key,
                state: node.standing == .active ? .staked : .suspended,
                weight: max(1, node.capacity ?? unmeasured), placement: node.placement)
        }
        return Snapshot(network: network, height: height, time: UnixTime(seconds: time), entries: entries)
    }
}

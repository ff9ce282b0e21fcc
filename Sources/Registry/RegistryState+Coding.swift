public import Wire

// Each state has exactly one encoding, and nothing else is read (docs/registry.md, "Encoding of the state").

extension RegistryState {
    /// The version of the format.
    public static let version: UInt8 = 2

    /// The encoding; equal states have equal encodings.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 256 + accounts.count * 56 + nodes.count * 128)
        writer.u8(Self.version)
        writer.bytes32(network)
        parameters.encode(to: &writer)
        writer.u64(supply)
        writer.u64(height)
        writer.u64(time)
        writer.u32(operationsInBlock)
        writer.u64(distributedUntil)
        writer.u64(pool)
        writer.u64(fees)
        writer.u32(UInt32(accounts.count))
        for (account, holding) in accounts.sorted(by: { $0.key < $1.key }) {
            writer.account(account)
            writer.u64(holding.balance)
            writer.u64(holding.rewards)
            writer.u64(holding.nonce)
        }
        writer.u32(UInt32(nodes.count))
        for (id, node) in nodes.sorted(by: { $0.key < $1.key }) {
            writer.nodeID(id)
            node.encode(to: &writer)
        }
        writer.u32(UInt32(locks.count))
        for lock in locks {
            writer.u64(lock.until)
            writer.account(lock.account)
            writer.nodeID(lock.node)
            writer.u64(lock.amount)
        }
        writer.u16(UInt16(quorums.count))
        for quorum in quorums {
            writer.u64(quorum.height)
            writer.bytes32(quorum.block)
            writer.bytes32(quorum.seed)
            writer.u8(UInt8(quorum.nodes.count))
            for node in quorum.nodes { writer.nodeID(node) }
        }
        return writer.bytes
    }

    /// Reads a whole state; throws for anything else than the exact encoding of a valid one.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        let network = try reader.bytes32()
        let parameters = try RegistryParameters(from: &reader)
        let supply = try reader.u64()
        let height = try reader.u64()
        let time = try reader.u64()
        let operationsInBlock = try reader.u32()
        let distributedUntil = try reader.u64()
        let pool = try reader.u64()
        let fees = try reader.u64()
        guard time <= Self.timeLimit, distributedUntil <= time, operationsInBlock <= parameters.operationsPerBlock
        else { throw .outOfRange }
        self.init(
            network: network, parameters: parameters, supply: supply, height: height, time: time,
            distributedUntil: distributedUntil, pool: pool, accounts: try Self.accounts(from: &reader))
        self.operationsInBlock = operationsInBlock
        self.fees = fees
        nodes = try Self.nodes(from: &reader, parameters)
        locks = try Self.locks(from: &reader)
        quorums = try Self.quorums(from: &reader, parameters)
        try reader.end()
        try check()
    }

    private static func accounts(from reader: inout ByteReader) throws(WireError) -> [Account: Holding] {
        let count = Int(try reader.u32())
        guard reader.remaining >= count * 56 else { throw .truncated }
        var result = [Account: Holding](minimumCapacity: count)
        var last: Account?
        for _ in 0..<count {
            let account = try reader.account()
            guard account != RegistryOperation.nobody, last.map({ $0 < account }) ?? true else { throw .outOfRange }
            last = account
            result[account] = Holding(
                balance: try reader.u64(), rewards: try reader.u64(), nonce: try reader.u64())
        }
        return result
    }

    private static func nodes(
        from reader: inout ByteReader, _ parameters: RegistryParameters
    ) throws(WireError) -> [NodeID: RegisteredNode] {
        let count = Int(try reader.u32())
        guard count <= Int(parameters.maximumNodes) else { throw .outOfRange }
        var result: [NodeID: RegisteredNode] = [:]
        var last: NodeID?
        for _ in 0..<count {
            let id = try reader.nodeID()
            if let last, !(last < id) { throw .outOfRange }
            last = id
            result[id] = try RegisteredNode(from: &reader, parameters)
        }
        return result
    }

    private static func locks(from reader: inout ByteReader) throws(WireError) -> [StakeLock] {
        let count = Int(try reader.u32())
        guard reader.remaining >= count * 80 else { throw .truncated }
        var result: [StakeLock] = []
        result.reserveCapacity(count)
        for _ in 0..<count {
            let lock = StakeLock(
                until: try reader.u64(), account: try reader.account(), node: try reader.nodeID(),
                amount: try reader.u64())
            guard lock.amount > 0, result.last.map({ $0 < lock }) ?? true else { throw .outOfRange }
            result.append(lock)
        }
        return result
    }

    private static func quorums(
        from reader: inout ByteReader, _ parameters: RegistryParameters
    ) throws(WireError) -> [Quorum] {
        let count = Int(try reader.u16())
        guard count <= Int(parameters.voteLifetime) else { throw .outOfRange }
        var result: [Quorum] = []
        for _ in 0..<count {
            let height = try reader.u64()
            let block = try reader.bytes32()
            let seed = try reader.bytes32()
            let size = Int(try reader.u8())
            guard size <= Int(parameters.quorumSize) + 1, result.last.map({ $0.height < height }) ?? true else {
                throw .outOfRange
            }
            var nodes: [NodeID] = []
            for _ in 0..<size { nodes.append(try reader.nodeID()) }
            result.append(Quorum(height: height, block: block, seed: seed, nodes: nodes))
        }
        return result
    }

    /// Checks the parts of a state against each other: the amounts add up, every account is known, no lock is due, each
    /// time and height is possible, and the quorums are by rank.
    private func check() throws(WireError) {
        guard isBalanced, accounts[parameters.treasury] != nil,
            accounts.count <= Int(parameters.maximumAccounts), nodes.values.allSatisfy({ isConsistent($0) }),
            locks.allSatisfy({
                accounts[$0.account] != nil && $0.until > time
                    && $0.until - time <= UInt64(parameters.deregistrationLock)
            }),
            quorums.allSatisfy({ quorum in
                quorum.height <= height && height - quorum.height < UInt64(parameters.voteLifetime)
                    && isRanked(quorum)
            }),
            height == 0 ? quorums.isEmpty : quorums.last?.height == height
        else { throw .outOfRange }
    }

    private func isRanked(_ quorum: Quorum) -> Bool {
        let ranks = quorum.nodes.map {
            NodeID(Self.rank(of: $0, network: network, height: quorum.height, seed: quorum.seed))
        }
        return zip(ranks, ranks.dropFirst()).allSatisfy { $0 < $1 }
    }

    private func isConsistent(_ node: RegisteredNode) -> Bool {
        guard node.changedHeight <= height, node.contributions.allSatisfy({ accounts[$0.account] != nil }),
            node.reports.allSatisfy({
                accounts[$0.operatorAccount] != nil && $0.operatorAccount != node.operatorAccount && $0.height <= height
                    && $0.time <= time
            })
        else { return false }
        if node.standing == .open { return true }
        return node.activeSince <= node.creditTime && node.creditTime <= time
            && (node.leavesAt == 0 || node.leavesAt <= time + UInt64(parameters.leaveDelay))
            && node.maintenanceEnd <= time + UInt64(parameters.maintenanceLimit)
            && (node.standing == .decommissioned || node.maintenanceEnd <= node.creditTime)
    }
}

extension RegisteredNode {
    func encode(to writer: inout ByteWriter) {
        writer.u8(standing.rawValue)
        writer.u16(fee)
        writer.u64(changedHeight)
        writer.u64(activeSince)
        writer.u64(allowance)
        writer.u64(creditTime)
        writer.u64(leavesAt)
        writer.u64(maintenanceEnd)
        writer.u64(placement)
        writer.u8(UInt8(contributions.count))
        for part in contributions {
            writer.account(part.account)
            writer.u64(part.amount)
        }
        writer.u8(UInt8(reports.count))
        for report in reports {
            writer.account(report.operatorAccount)
            writer.u64(report.height)
            writer.u64(report.time)
            writer.u32(report.capacity)
        }
    }

    init(from reader: inout ByteReader, _ parameters: RegistryParameters) throws(WireError) {
        let code = try reader.u8()
        guard let standing = Standing(rawValue: code) else { throw .unknownKind(UInt64(code)) }
        self.standing = standing
        fee = try reader.u16()
        changedHeight = try reader.u64()
        activeSince = try reader.u64()
        allowance = try reader.u64()
        creditTime = try reader.u64()
        leavesAt = try reader.u64()
        maintenanceEnd = try reader.u64()
        placement = try reader.u64()
        contributions = []
        let count = Int(try reader.u8())
        guard UInt64(fee) <= RegistryParameters.whole, allowance <= parameters.allowanceLimit,
            (1...Int(parameters.maximumContributors) + 1).contains(count)
        else { throw .outOfRange }
        var sum: UInt128 = 0
        for _ in 0..<count {
            let part = Contribution(account: try reader.account(), amount: try reader.u64())
            guard part.amount > 0, contribution(of: part.account) == nil else { throw .outOfRange }
            contributions.append(part)
            sum += UInt128(part.amount)
        }
        let isFull = standing != .open
        guard isFull ? sum == UInt128(parameters.fullStake) : sum < UInt128(parameters.fullStake),
            contributions[0].amount >= parameters.operatorMinimum,
            isFull
                || (activeSince == 0 && allowance == 0 && creditTime == 0 && leavesAt == 0 && maintenanceEnd == 0
                    && placement == 0)
        else { throw .outOfRange }
        let reportCount = Int(try reader.u8())
        guard reportCount <= (isFull ? Int(parameters.reportsPerNode) : 0) else { throw .outOfRange }
        for _ in 0..<reportCount {
            let report = Report(
                operatorAccount: try reader.account(), height: try reader.u64(), time: try reader.u64(),
                capacity: try reader.u32())
            if let last = reports.last, !(last.operatorAccount < report.operatorAccount) { throw .outOfRange }
            reports.append(report)
        }
    }
}

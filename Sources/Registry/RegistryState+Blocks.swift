internal import OnionCrypto
public import Wire

// Changes that depend only on time, and the quorum of a height.

extension RegistryState {
    /// The longest part of the time between two blocks that uses up what a decommissioned node is allowed, in seconds.
    static let longestGap: UInt64 = 600

    /// Opens the block at `height` with its time (seconds since 1970), content hash and seed; its operations come
    /// after.
    ///
    /// Nodes that are due leave. Nodes whose credit and grace are used up are deregistered. Nodes whose maintenance is
    /// over become active. Locked stakes that are due become free. The quorum of this height is chosen.
    ///
    /// Of a longer time between two blocks only ``longestGap`` uses up what a node is allowed. No verdict could bring
    /// it back while the ledger stood still, and those of this block come after.
    public mutating func begin(
        height: UInt64, time: UInt64, block: Bytes32, seed: Bytes32
    ) throws(RegistryRefusal) {
        guard height > self.height else { throw .heightNotAbove(self.height) }
        guard time >= self.time else { throw .timeWentBack }
        guard time <= Self.timeLimit else { throw .timeOutOfRange }
        let stood = time - self.time - min(time - self.time, Self.longestGap)
        self.height = height
        self.time = time
        operationsInBlock = 0
        for (id, found) in nodes {
            var node = found
            if stood > 0, node.standing == .decommissioned, !node.isInMaintenance {
                node.creditTime += stood
                nodes[id] = node
            }
            switch node.due(at: time) {
            case nil:
                if node.isInMaintenance, node.maintenanceEnd <= time { endMaintenance(of: id, at: node.maintenanceEnd) }
            case .left:
                for part in node.contributions { credit(part.amount, to: part.account) }
                nodes[id] = nil
            case .deregistered: deregister(id)
            }
        }
        let free = locks.prefix { $0.until <= time }
        for lock in free { credit(lock.amount, to: lock.account) }
        locks.removeFirst(free.count)
        quorums.removeAll { height - $0.height >= UInt64(parameters.voteLifetime) }
        quorums.append(makeQuorum(block: block, seed: seed))
    }

    /// Adds to a free balance; the sum cannot exceed the supply.
    mutating func credit(_ amount: UInt64, to account: Account) {
        accounts[account, default: Holding(balance: 0)].balance += amount
    }

    /// Removes a node and locks its stake.
    mutating func deregister(_ id: NodeID) {
        guard let node = nodes.removeValue(forKey: id) else { return }
        let until = time + UInt64(parameters.deregistrationLock)
        for part in node.contributions {
            let lock = StakeLock(until: until, account: part.account, node: id, amount: part.amount)
            let place = locks.partitioned { $0 < lock }
            if place < locks.count, !(lock < locks[place]) {
                locks[place].amount += part.amount
            } else {
                locks.insert(lock, at: place)
            }
        }
    }

    /// Makes a node in maintenance active again, as of `end`, in seconds since 1970.
    mutating func endMaintenance(of id: NodeID, at end: UInt64) {
        guard var node = nodes[id] else { return }
        node.allowance = node.allowance(at: end, parameters)
        (node.standing, node.maintenanceEnd, node.creditTime) = (.active, end, end)
        node.changedHeight = height
        nodes[id] = node
    }

    /// The number of active nodes, and of nodes with a full stake.
    public var fullNodes: (active: Int, all: Int) {
        nodes.values.reduce(into: (active: 0, all: 0)) { count, node in
            if node.standing == .active { count.active += 1 }
            if node.standing != .open { count.all += 1 }
        }
    }

    /// Throws if one active node less would be too few.
    func checkFloor() throws(RegistryRefusal) {
        let (active, all) = fullNodes
        let least = parameters.floor(of: all)
        guard active > least else { throw .tooFewActive(least: least) }
    }

    /// The quorum of this height: the active nodes with the lowest ranks.
    private func makeQuorum(block: Bytes32, seed: Bytes32) -> Quorum {
        var ranked: [(rank: NodeID, node: NodeID)] = []
        for (id, node) in nodes where node.standing == .active {
            ranked.append((NodeID(Self.rank(of: id, network: network, height: height, seed: seed)), id))
        }
        ranked.sort { $0 < $1 }
        return Quorum(
            height: height, block: block, seed: seed,
            nodes: ranked.prefix(Int(parameters.quorumSize) + 1).map(\.node))
    }

    /// The rank of a node at a height: `H("tunic registry quorum" ‖ 0 ‖ network ‖ height ‖ seed ‖ node)`.
    static func rank(of node: NodeID, network: Bytes32, height: UInt64, seed: Bytes32) -> Bytes32 {
        var writer = ByteWriter(capacity: 128)
        writer.prefix(.registryQuorum)
        writer.bytes32(network)
        writer.u64(height)
        writer.bytes32(seed)
        writer.nodeID(node)
        return Blake2b.digest(writer.bytes.rawSpan)
    }

    /// The quorum of a height that may still judge.
    public func quorum(at height: UInt64) -> Quorum? {
        guard let first = quorums.first?.height, height >= first else { return nil }
        // Without gaps in the heights it is at this place.
        let guess = Int(clamping: height - first)
        if guess < quorums.count, quorums[guess].height == height { return quorums[guess] }
        let place = quorums.partitioned { $0.height < height }
        return place < quorums.count && quorums[place].height == height ? quorums[place] : nil
    }

    /// The quorum that judges `node` by votes of `height`, in order of place; empty if there is none.
    public func judges(of node: NodeID, height: UInt64) -> [NodeID] {
        guard let quorum = quorum(at: height) else { return [] }
        return judges(of: node, in: quorum)
    }

    /// The judges of `node` in a quorum.
    public func judges(of node: NodeID, in quorum: Quorum) -> [NodeID] {
        var judges = quorum.nodes
        if let own = judges.firstIndex(of: node) { judges.remove(at: own) }
        if judges.count > Int(parameters.quorumSize) { judges.removeLast(judges.count - Int(parameters.quorumSize)) }
        return judges
    }

    /// Whether `judge` is one of the judges of `node` at a height.
    public func isJudge(_ judge: NodeID, of node: NodeID, height: UInt64) -> Bool {
        guard judge != node, let nodes = quorum(at: height)?.nodes, let place = nodes.firstIndex(of: judge) else {
            return false
        }
        return place < Int(parameters.quorumSize) || nodes[..<place].contains(node)
    }
}

extension Array {
    /// The first index whose element does not satisfy `before`, in an array in which all that do come first.
    fileprivate func partitioned(_ before: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if before(self[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

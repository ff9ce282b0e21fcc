internal import Control
internal import Registry
internal import Wire

extension RegistryStanding {
    /// The state of `node` in `state`.
    init(of node: NodeID, in state: RegistryState) {
        guard let entry = state.nodes[node] else {
            self = state.locks.contains { $0.node == node } ? .deregistered : .unregistered
            return
        }
        self =
            switch entry.standing {
            case .open: .open
            case .active: .active
            case .decommissioned: entry.isInMaintenance ? .maintenance : .decommissioned
            }
    }
}

extension StatusReport {
    /// Sets the figures of `node` in `state`; `now` is in seconds since 1970.
    mutating func add(_ state: RegistryState, of node: NodeID, now: UInt64) {
        let standing = RegistryStanding(of: node, in: state)
        self.registryState = standing
        self.blockHeight = state.height
        self.blockTime = state.time
        guard let entry = state.nodes[node] else {
            self.lockedUntil = state.locks.last { $0.node == node }?.until
            self.stake = state.locks.lazy.filter { $0.node == node }.map(\.amount).reduce(0, +)
            (self.fee, self.credit, self.rewards) = (0, 0, 0)
            return
        }
        self.stake = entry.stake
        self.fee = Int(entry.fee)
        self.credit = entry.credit(at: max(now, state.time), state.parameters)
        self.rewards = state.accounts[entry.operatorAccount]?.rewards ?? 0
        self.leavesAt = entry.leavesAt == 0 ? nil : entry.leavesAt
        self.maintenanceUntil = entry.isInMaintenance ? entry.maintenanceEnd : nil
        self.deregistersAt = standing == .decommissioned ? entry.deregistersAt : nil
    }
}

internal import Control
internal import Registry
internal import Wire

extension RegistryReport {
    /// The report of `node` in `state`; `now` is in seconds since 1970.
    init(of node: NodeID, in state: RegistryState, now: UInt64) {
        let now = max(now, state.time)
        let lock = state.locks.last { $0.node == node }
        guard let entry = state.nodes[node] else {
            self.init(state: lock == nil ? .unregistered : .deregistered, height: state.height, time: state.time)
            lockedUntil = lock?.until
            stake = state.locks.lazy.filter { $0.node == node }.map(\.amount).reduce(0, +)
            return
        }
        let standing: State =
            switch entry.standing {
            case .open: .open
            case .active: .active
            case .decommissioned: entry.isInMaintenance ? .maintenance : .decommissioned
            }
        self.init(state: standing, height: state.height, time: state.time)
        stake = entry.stake
        fee = Int(entry.fee)
        credit = entry.credit(at: now, state.parameters)
        rewards = state.accounts[entry.operatorAccount]?.rewards ?? 0
        leavesAt = entry.leavesAt == 0 ? nil : entry.leavesAt
        maintenanceUntil = entry.isInMaintenance ? entry.maintenanceEnd : nil
        deregistersAt = standing == .decommissioned ? entry.deregistersAt : nil
    }
}

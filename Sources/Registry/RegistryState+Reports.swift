internal import Wire

// Nodes' measurements of other nodes.

extension RegistryState {
    /// Keeps the measurements by `reporter`, in place of an earlier report by a node of its operator.
    ///
    /// A report counts only if the reporter is in the quorum that the block at `height` chose, so that a node cannot
    /// choose the nodes that it judges. It counts once for each operator, so that many nodes of one operator are not a
    /// majority.
    mutating func report(
        _ measured: [RegistryOperation.Measurement], by reporter: NodeID, height: UInt64
    ) throws(RegistryRefusal) {
        guard quorum(at: height) != nil else { throw .unknownQuorum }
        guard let maker = nodes[reporter] else { throw .unknownNode }
        guard maker.standing == .active else { throw .notActive }
        let account = maker.operatorAccount
        for measurement in measured {
            guard let node = nodes[measurement.node] else { throw .unknownNode }
            guard node.standing != .open else { throw .notFull }
            guard judges(of: measurement.node, height: height).contains(reporter) else { throw .notReporter }
            guard node.operatorAccount != account else { throw .sameOperator }
            let last = node.reports.first { $0.operatorAccount == account }
            guard (last?.height ?? 0) < height else { throw .staleReport }
        }
        for measurement in measured {
            nodes[measurement.node]?.keep(
                RegisteredNode.Report(
                    operatorAccount: account, height: height, time: time, capacity: measurement.capacity),
                limit: Int(parameters.reportsPerNode))
        }
    }
}

extension RegisteredNode {
    /// Keeps a report in place of its operator's older one.
    ///
    /// If there are more than `limit`, the one of the lowest height is removed, and of these the one of the lowest
    /// account.
    mutating func keep(_ report: Report, limit: Int) {
        reports.removeAll { $0.operatorAccount == report.operatorAccount }
        let place = reports.firstIndex { report.operatorAccount < $0.operatorAccount } ?? reports.count
        reports.insert(report, at: place)
        if reports.count > limit, let oldest = reports.indices.min(by: { reports[$0].height < reports[$1].height }) {
            reports.remove(at: oldest)
        }
    }
}

internal import Wire

/// The kinds of operations that have separate shares of each block, so that none excludes another.
enum OperationShare: Int, CaseIterable, Sendable {
    /// Verdicts and distributions.
    case verdicts
    /// Reports, and nodes' requests for maintenance.
    case reports
    /// Operations on nodes' stakes, and claims.
    case stakes
    /// Transfers and payments.
    case transfers

    /// The account or node that an operation is counted for within its share.
    enum Source: Hashable, Sendable {
        /// Its account.
        case account(Account)
        /// The node that is judged, that reports, or that requests maintenance.
        case node(NodeID)
    }

    /// How many operations of the share a pool holds.
    ///
    /// Their longest encodings come to less than 256 KiB.
    var places: Int {
        switch self {
        case .verdicts: 100
        case .reports: 300
        case .stakes, .transfers: 1_000
        }
    }
}

extension RegistryOperation {
    /// The share that an operation belongs to.
    var share: OperationShare {
        switch action {
        case .judge, .distribute: .verdicts
        case .report, .maintain: .reports
        case .register, .contribute, .cancel, .setFee, .leave, .claim: .stakes
        case .pay, .transfer: .transfers
        }
    }

    /// The account or node that the operation is counted for.
    var source: OperationShare.Source {
        switch action {
        case .judge(_, let node, _, _): .node(node)
        case .report(let reporter, _, _, _): .node(reporter)
        case .maintain(let node, _, _, _): .node(node)
        case .register, .contribute, .cancel, .setFee, .leave, .distribute, .claim, .pay, .transfer: .account(account)
        }
    }
}

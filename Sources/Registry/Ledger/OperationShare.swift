internal import Wire

/// The kinds of operations that have a share of each block of their own, so that none keeps another out.
enum OperationShare: Int, CaseIterable, Sendable {
    /// Verdicts and distributions.
    case verdicts
    /// Reports, and what nodes ask of their maintenance.
    case reports
    /// Operations on nodes' stakes, and claims.
    case stakes
    /// Transfers and payments.
    case transfers

    /// Whom an operation counts for within its share.
    enum Source: Hashable, Sendable {
        /// Its account.
        case account(Account)
        /// The node that a verdict judges, that reports, or that asks for a maintenance.
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
    /// The share that the operation is counted in.
    var share: OperationShare {
        switch action {
        case .judge, .distribute: .verdicts
        case .report, .maintain: .reports
        case .register, .contribute, .cancel, .setFee, .leave, .claim: .stakes
        case .pay, .transfer: .transfers
        }
    }

    /// Whom it counts for there.
    var source: OperationShare.Source {
        switch action {
        case .judge(_, let node, _, _): .node(node)
        case .report(let reporter, _, _, _): .node(reporter)
        case .maintain(let node, _, _, _): .node(node)
        case .register, .contribute, .cancel, .setFee, .leave, .distribute, .claim, .pay, .transfer: .account(account)
        }
    }
}

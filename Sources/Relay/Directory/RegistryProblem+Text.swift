internal import Directory

extension RegistryProblem {
    /// The problem for the operator, in whole sentences.
    public var text: String {
        switch self {
        case .unwritable(let failure): LedgerProblem.unwritable(failure).text
        case .source(let reported): reported.problem.text
        case .unsigned(let error):
            "The next snapshot is not signed, because the record of its signature cannot be written: \(error)."
        case .stale(let days):
            "The newest snapshot is more than \(days) days old and leads to no other one any more; "
                + "look whether this machine's clock is right, or get the network's newest network file and start again."
        case .unreachable(let height):
            "The other nodes have newer snapshots, and their histories do not reach back to this node's, of height "
                + "\(height); get the network's newest network file and start again."
        }
    }
}

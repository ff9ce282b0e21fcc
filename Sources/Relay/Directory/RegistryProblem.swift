/// A problem with the registry, or with the snapshots that are made of it.
enum RegistryProblem: Equatable {
    /// The ledger's file cannot be written, for this error, and the ledger stands until it can be.
    case unwritable(String)
    /// The source reports this.
    case source(String)
    /// The next snapshot is not signed, since the record of the signature cannot be written, for this error.
    case unsigned(String)
    /// No update can lead on from the newest snapshot any more.
    case stale(days: UInt64)
    /// The newest snapshot, of this height, is before the beginning of most neighbours' histories.
    case unreachable(height: UInt64)

    /// The problem for the operator; all but the source's are sentences.
    var text: String {
        switch self {
        case .unwritable(let error): "The ledger stands here until its file can be written: \(error)"
        case .source(let text): text
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

public import Directory
public import Store

/// A problem with the registry, or with the snapshots that are made of it.
public enum RegistryProblem: Equatable, Sendable {
    /// The ledger's file cannot be read or written, and the ledger stands until it can be.
    case unwritable(LedgerFailure)
    /// The source reports this.
    case source(Reported)
    /// The next snapshot is not signed, since the record of the signature cannot be written, for this error.
    case unsigned(StoreError)
    /// No update can lead on from the newest snapshot any more.
    case stale(days: UInt64)
    /// The newest snapshot, of this height, is before the beginning of most neighbours' histories.
    case unreachable(height: UInt64)

    /// The problem that a registry source reports.
    public struct Reported: Equatable, Sendable {
        /// The problem, of a type that the source chooses.
        public let problem: any RegistrySourceProblem

        init(_ problem: any RegistrySourceProblem) { self.problem = problem }

        /// Whether both are the same problem.
        public static func == (one: Self, other: Self) -> Bool { one.problem.isSame(as: other.problem) }
    }
}

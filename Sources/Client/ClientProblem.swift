public import Store
public import Wire

/// A problem of a client that its user must know of.
public enum ClientProblem: Equatable, Sendable {
    /// The state of the network cannot be saved.
    case unsaved(StoreError)
    /// A node says that this machine's clock is more than a year off.
    case clockYearsOff
    /// This machine's clock is ahead of the nodes of `operators` operators by `error`, or behind; `isCorrected` if the
    /// nodes' time is used.
    case wrongClock(error: TimeSpan, operators: Int, isCorrected: Bool)
    /// The newest snapshot is `age` hours old, and is trusted for `limit` hours.
    case stale(age: UInt64, limit: UInt64)
    /// The newest snapshot, of this height, is older than the histories that nodes of `operators` operators keep.
    case unreachable(operators: Int, height: UInt64)
    /// Before a guard is drawn, nodes of `operators` operators are asked.
    case asksBeforeGuard(isFirst: Bool, operators: Int, Asked?)
    /// The descriptors of `count` of `nodes` nodes are lacking; `known` are percentages of weights.
    case lacksDescriptors(count: Int, of: Int, known: Known, Asked?)
    /// None of the `nodes` nodes of the network file may be asked about the network, and no guard is left.
    case noSource(nodes: Int)
    /// None of the known nodes is an exit.
    case noExit(nodes: Int)
    /// None of the known exits may be used.
    case noUsableExit(exits: Int)
    /// Of the known nodes too few may be used for a path.
    case tooFewUsable(Int, of: Int, hops: Int)
    /// Too few of the nodes are known for a path.
    case tooFewKnown(Int, of: Int, hops: Int)
    /// The last build failed.
    case build(PathFailure)
    /// Nothing is wrong; no path is ready yet.
    case firstPath

    /// The percentages of the weight of all nodes, and of the exits, whose descriptors are known.
    public struct Known: Equatable, Sendable {
        /// The percentages, 0 to 100.
        public let nodes: Int, exits: Int
    }

    /// How many nodes an inquiry has asked, and how many have answered.
    public struct Asked: Equatable, Sendable {
        /// The numbers of answers and of questions.
        public let answers: Int, asked: Int
    }
}

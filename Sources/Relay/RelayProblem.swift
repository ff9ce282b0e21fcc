public import Store
public import Wire

/// A problem of a relay that its operator must know of.
public enum RelayProblem: Equatable, Sendable {
    /// It takes no new paths, since the month's bytes are used up.
    case rests
    /// It takes no new paths, since it drains.
    case drains
    /// This machine's clock is so wrong that other nodes refuse this node's signatures.
    case wrongClock(minutes: Int, isAhead: Bool)
    /// No other node has answered since the start.
    case unheard
    /// No other node has answered for this time.
    case alone(TimeSpan)
    /// Clients may not choose the node.
    case standing(Standing)
    /// The registry does not lead on.
    case registry(RegistryProblem)
    /// The state of the network cannot be saved.
    case unsaved(StoreError)
    /// The swarm store cannot be written.
    case unstored(StoreError)
    /// The swarm store has this many bytes, all that it may have.
    case storeFull(bytes: Int)
    /// The name servers do not answer.
    case noNameServer
    /// The warning about how others find the node.
    case warning(OperatorWarning.Kind)

    /// The reason why clients may not choose the node.
    public enum Standing: Equatable, Sendable {
        /// The snapshot of this height does not list it as staked.
        case unstaked(height: UInt64)
        /// The snapshot lists it as suspended, for this reason.
        case suspended(OperatorWarning.Kind?)
        /// The ledger does not have it.
        case unregistered
        /// The ledger has removed it, after its credit and the grace in seconds.
        case deregistered(grace: UInt32, lockedUntil: UnixTime)
        /// Its stake is not full.
        case open
        /// It is active, but not yet in the snapshot.
        case activeSoon
        /// It is in maintenance at its operator's request.
        case maintenance(until: UnixTime)
        /// Other nodes found that it did not serve.
        case decommissioned(deregistersAt: UnixTime)
    }
}

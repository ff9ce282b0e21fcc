public import Wire

/// A result of checking an operator's node.
public enum CheckFinding: Equatable, Sendable {
    /// The sockets are bound to these addresses.
    case bound([Endpoint])
    /// This machine's clock is wrong.
    case wrongClock(RelayProblem)
    /// No other node has reported its time.
    case noTime
    /// The clock differs from the other nodes' time by this many seconds.
    case clock(difference: Int)
    /// The registry has a problem.
    case registry(RegistryProblem)
    /// Clients may not choose the node.
    case standing(RelayProblem.Standing)
    /// The node is staked in the snapshot of this height.
    case staked(height: UInt64)
    /// The node has links with this many other nodes; 0 is a fault.
    case links(Int)
    /// Of the nodes that were asked, some made a new link to the address.
    case reached(Endpoint, by: Int, of: Int)
    /// None of the nodes that were asked could make a link to the address.
    case unreached(Endpoint, asked: Int)
    /// None of the nodes that were asked has a route to the address, and a link that comes from it.
    case noRoute(Endpoint)
    /// No node could be asked whether it reaches the address.
    case unasked(Endpoint)
    /// Some of the nodes that were asked have the node's descriptor, or none of them.
    case descriptor(takenBy: Int, of: Int)
    /// No node could be asked for the descriptor.
    case descriptorUnasked
}

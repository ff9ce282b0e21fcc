public import Wire

/// Receives reports of a relay for the process that runs it.
public protocol RelayObserver: AnyObject {
    /// Why the relay cannot serve others, or nil; called once a second.
    func problem(_ problem: RelayProblem?)
    /// The relay has tested another node, which is well or does not serve.
    ///
    /// Called again as long as the node does not serve.
    func tested(_ node: NodeID, passed: Bool)
    /// The time after which it is told again that a node does not serve.
    var repeatInterval: TimeSpan { get }
}

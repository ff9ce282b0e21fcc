public import Wire

/// Receives the reports of a relay, for the process that runs it.
public protocol RelayObserver: AnyObject {
    /// The reason why the relay is useless to others, in one sentence, or nil; called once a second.
    func problem(_ text: String?)
    /// The relay has tested another node, which is well or does not serve.
    ///
    /// Called again as long as the node does not serve.
    func tested(_ node: NodeID, passed: Bool)
    /// The time after which it is told again that a node does not serve.
    var repeatInterval: TimeSpan { get }
}

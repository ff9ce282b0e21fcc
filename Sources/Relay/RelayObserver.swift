public import Wire

/// Receives the reports of a relay, for the process that runs it.
public protocol RelayObserver: AnyObject {
    /// The reason why the relay is useless to others, in one sentence, or nil; called once a second.
    func problem(_ text: String?)
    /// The relay has tested another node, which passed or does not serve.
    func tested(_ node: NodeID, passed: Bool)
}

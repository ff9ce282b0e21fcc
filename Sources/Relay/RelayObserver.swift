public import Wire

/// Receives reports of a relay for the process that runs it.
public protocol RelayObserver: AnyObject {
    /// Why the relay cannot serve others, in one sentence, or nil; called once a second.
    func problem(_ text: String?)
    /// The relay has tested another node, which passed or does not serve.
    func tested(_ node: NodeID, passed: Bool)
}

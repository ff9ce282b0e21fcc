public import Wire

/// Hears what the daemon beside a relay is told of it.
public protocol RelayObserver: AnyObject {
    /// What makes the relay useless to others, in one sentence, or nil; once a second.
    func problem(_ text: String?)
    /// The relay has tested another node: it has passed, or does not serve.
    func tested(_ node: NodeID, passed: Bool)
}

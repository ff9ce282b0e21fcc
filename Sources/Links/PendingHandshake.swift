internal import EventLoop
internal import Link
internal import Wire

/// A handshake of this end that waits for its answer, and the completions that wait for the link.
final class PendingHandshake {
    let node: NodeID
    let endpoints: [Endpoint]
    /// The next endpoint to try, in turn.
    var attempt = 0
    var completions: [(Result<LinkID, LinkFailure>) -> Void] = []
    /// The party that asked for it; nil once this end wants the link for itself.
    var source: LinkSource?
    /// Whether this end is a node and hides its identity.
    var isAnonymous = false
    var initiator: LinkInitiator
    /// Whether its link waits only for other workers of this node.
    var hasLink = false
    var timer: LoopTimer?

    init(node: NodeID, endpoints: [Endpoint], initiator: consuming LinkInitiator) {
        self.node = node
        self.endpoints = endpoints
        self.initiator = initiator
    }

    /// The endpoint for the next initiation; each call moves on to the next one.
    func nextEndpoint() -> Endpoint {
        defer { attempt += 1 }
        return endpoints[attempt % endpoints.count]
    }

    /// Sends the next initiation to `source` if it is one of the endpoints, else to the last endpoint again.
    func stay(at source: Endpoint) { attempt = endpoints.firstIndex(of: source) ?? max(0, attempt - 1) }

    /// The endpoint of the link whose answer came from `source`.
    func endpoint(answeredFrom source: Endpoint) -> Endpoint {
        endpoints.contains(source) ? source : endpoints[max(0, attempt - 1) % endpoints.count]
    }
}

/// A request for a link that has not begun yet.
struct WantedLink {
    let node: NodeID
    let endpoints: [Endpoint]
    /// The party that asked for it; nil: this end itself.
    let source: LinkSource?
    let completion: (Result<LinkID, LinkFailure>) -> Void
}

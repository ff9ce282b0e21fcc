internal import EventLoop
internal import Link
internal import Wire

/// A handshake of ours that waits for its answer, and who waits for the link.
final class PendingHandshake {
    let node: NodeID
    let endpoints: [Endpoint]
    /// The next endpoint to try, in turn.
    var attempt = 0
    var completions: [(Result<LinkID, LinkFailure>) -> Void] = []
    /// Who had it begun; nil once this end wants the link for itself.
    var source: LinkSource?
    /// Whether this end is a node and does not show it.
    var isAnonymous = false
    var initiator: LinkInitiator
    var timer: LoopTimer?

    init(node: NodeID, endpoints: [Endpoint], initiator: consuming LinkInitiator) {
        self.node = node
        self.endpoints = endpoints
        self.initiator = initiator
    }

    /// Where the next initiation goes.
    func nextEndpoint() -> Endpoint {
        defer { attempt += 1 }
        return endpoints[attempt % endpoints.count]
    }

    /// Lets the next initiation go to `source`, or where the last one went.
    func stay(at source: Endpoint) { attempt = endpoints.firstIndex(of: source) ?? max(0, attempt - 1) }

    /// Where the link goes when the answer came from `source`.
    func endpoint(answeredFrom source: Endpoint) -> Endpoint {
        endpoints.contains(source) ? source : endpoints[max(0, attempt - 1) % endpoints.count]
    }
}

/// A request for a link that has not begun yet.
struct WantedLink {
    let node: NodeID
    let endpoints: [Endpoint]
    /// For whom, where not for this end itself.
    let source: LinkSource?
    let completion: (Result<LinkID, LinkFailure>) -> Void
}

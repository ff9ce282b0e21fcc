internal import Link
internal import Wire

/// What a node's end of links has and a client's has not: an identity, and answers to handshakes.
///
/// None of the closures may call back.
final class NodeSide {
    let identity: LinkIdentity
    /// Which nodes may begin links.
    let isStaked: (NodeID) -> Bool
    /// Whether the descriptor of a staked node names an endpoint, so that initiations from there need no cookie under load.
    var isNodeEndpoint: (Endpoint) -> Bool = { _ in false }
    /// The same of an address with any port: a node tests others from ports of its own.
    var isNodeAddress: (IPAddress) -> Bool = { _ in false }
    /// Whether this node begins links as a client does, without its identity.
    var hidesIdentity = false
    private var responder: LinkResponder

    init(
        _ identity: LinkIdentity, configuration: LinksConfiguration, isStaked: @escaping (NodeID) -> Bool, now: Instant
    ) {
        self.identity = identity
        self.isStaked = isStaked
        responder = LinkResponder(
            network: configuration.network, identity: identity, limits: configuration.responder, now: now)
    }

    /// The identity to begin links with: none as long as this node is not staked, for nobody would answer it.
    var shownIdentity: LinkIdentity? { !hidesIdentity && isStaked(NodeID(identity.nodeID)) ? identity : nil }

    /// What an initiation of a peer is answered with; `hasLink` says whether a client at an address has a link up.
    func receive(
        _ datagram: RawSpan, from source: Endpoint, now: Instant, wallClock: UInt64, hasLink: (AddressShare) -> Bool
    ) -> LinkResponder.Verdict {
        responder.receive(
            datagram, from: source, now: now, wallClock: wallClock, isStaked: { isStaked(NodeID($0)) },
            isKnown: isNodeEndpoint, isKnownAddress: isNodeAddress, hasLink: hasLink)
    }
}

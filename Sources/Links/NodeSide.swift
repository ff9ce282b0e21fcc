internal import Link
public import Wire

/// The addresses of staked nodes; initiations from there need no cookie under load.
///
/// No method may call back.
public protocol NodeAddresses: AnyObject {
    /// Whether a staked node's descriptor names the endpoint.
    func contains(_ endpoint: Endpoint) -> Bool
    /// Whether a staked node's descriptor names the address, with any port: a node uses other ports to test nodes.
    func contains(_ address: IPAddress) -> Bool
}

/// The state of a node's end that a client does not have: an identity, and the responder of handshakes.
///
/// No closure may call back.
final class NodeSide {
    let identity: LinkIdentity
    /// Whether a node may begin links.
    let isStaked: (NodeID) -> Bool
    private let addresses: (any NodeAddresses)?
    /// Whether this node begins links as a client does, without its identity.
    var hidesIdentity = false
    private var responder: LinkResponder

    init(
        _ identity: LinkIdentity, configuration: LinksConfiguration, isStaked: @escaping (NodeID) -> Bool,
        addresses: (any NodeAddresses)?, now: Instant
    ) {
        self.identity = identity
        self.isStaked = isStaked
        self.addresses = addresses
        responder = LinkResponder(
            network: configuration.network, identity: identity, limits: configuration.responder, now: now)
    }

    /// The identity to begin links with; nil while this node is hidden or not staked, because no node would answer it.
    var shownIdentity: LinkIdentity? { !hidesIdentity && isStaked(NodeID(identity.nodeID)) ? identity : nil }

    /// The answer to an initiation; `hasLink` tells whether a client at an address has a link that is up.
    func receive(
        _ datagram: RawSpan, from source: Endpoint, now: Instant, wallClock: UInt64, hasLink: (AddressShare) -> Bool
    ) -> LinkResponder.Outcome {
        responder.receive(
            datagram, from: source, now: now, wallClock: wallClock, isStaked: { isStaked(NodeID($0)) },
            isKnown: { addresses?.contains($0) ?? false }, isKnownAddress: { addresses?.contains($0) ?? false },
            hasLink: hasLink)
    }
}

public import Link
public import Wire

/// Receives data packets from the links: the relay, or the client.
public protocol PacketHandler: AnyObject {
    /// Takes the data packets of one received batch; called at most once per batch, and never with an empty one.
    ///
    /// Headers are open, and no packet is committed. For each packet the handler opens its layer in place, calls
    /// `table.commit`, and then consumes the packet or sends it on with `table.forward`. Packets are valid until this
    /// returns. During the call the handler uses `table` for all access to the table. It may use the `Links` object for
    /// control messages and new links, but not for `withTable`.
    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable)
}

/// Receives control messages and the events of links.
public protocol ControlHandler: AnyObject {
    /// A message has arrived whole; answer it now or later with `Links.answer` or `Links.refuse`.
    ///
    /// The body is no longer than its type allows; nothing else about it is checked.
    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder)

    /// A link is up: the handshake is done, and the peer has proved that it has the keys.
    func linkUp(_ link: LinkID, peer: LinkPeer)

    /// A link that was up is gone, with all its paths; its id is no longer valid.
    func linkDown(_ link: LinkID, reason: LinkDownReason)
}

/// The peer at the other end of a link.
public enum LinkPeer: Hashable, Sendable {
    /// A node, whose key the handshake has authenticated.
    case node(NodeID)
    /// A client; it has no identity.
    case client

    /// The node's id; nil for a client.
    public var node: NodeID? {
        switch self {
        case .node(let id): id
        case .client: nil
        }
    }
}

/// Why a link ended.
public enum LinkDownReason: Hashable, Sendable {
    /// This end closed it.
    case closedHere
    /// The peer closed it.
    case closedByPeer
    /// It carried no path for too long.
    case idle
    /// Pings were not answered.
    case dead
    /// Its keys could not be renewed in time.
    case keysExpired
    /// The peer broke the protocol of the control connection.
    case violation
    /// All clients' links together held too much memory, and those of this link's address the most.
    case memory
    /// Another link took its place in the table.
    case gaveWay
}

/// Why a link could not be made.
public enum LinkFailure: Error, Hashable, Sendable {
    /// The node did not answer.
    case noAnswer
    /// The node id is not a public key, or is this node's own.
    case badIdentity
    /// No socket of this end reaches any of the addresses.
    case noAddress
    /// The limit of links or of handshakes is reached.
    case limit
    /// This end's links are closed or about to be.
    case closing
}

/// Counters of events on links since the start, for status and metrics; no counter names a peer.
///
/// It has more members than most types: one for each counter.
public struct LinkCounters: Sendable {
    /// Datagrams that had no effect, by reason.
    public var drops = DropCounters()
    /// Packets whose header opened.
    public var packetsReceived: UInt64 = 0
    /// Packets handed to a socket, including those that its full queue dropped.
    public var packetsSent: UInt64 = 0
    /// Control packets among those received.
    public var controlReceived: UInt64 = 0
    /// Control packets among those sent.
    public var controlSent: UInt64 = 0
    /// Handshakes of this end that made a link.
    public var linksOpened: UInt64 = 0
    /// Handshakes of peers that made a link.
    public var linksAccepted: UInt64 = 0
    /// Handshakes of this end that failed without an answer.
    public var handshakesFailed: UInt64 = 0
    /// Cookies sent in place of responses, under load.
    public var cookiesSent: UInt64 = 0
    /// Links that ended for any reason.
    public var linksClosed: UInt64 = 0
    /// Links that ended because the peer was silent.
    public var linksDead: UInt64 = 0
    /// Links whose place in the table went to another link.
    public var linksGaveWay: UInt64 = 0
    /// Rekeys that succeeded, begun by either end.
    public var rekeys: UInt64 = 0
    /// Changes of a link's address.
    public var moves: UInt64 = 0
    /// Control messages refused because of a limit.
    public var messagesRefused: UInt64 = 0
    /// Packets that came to another worker than their link's, and were handed on.
    public var packetsHandedOn: UInt64 = 0
    /// Those that could not be handed on, and control packets that worker 0 had no room for.
    public var packetsNotHandedOn: UInt64 = 0

    /// Counters of zero.
    public init() {}
}

/// The present numbers of links.
public struct LinkStatus: Sendable, Equatable {
    /// Links with nodes that are up.
    public var nodes = 0
    /// Links with clients that are up.
    public var clients = 0
    /// Links whose initiator has not yet proved that it has the keys.
    public var halfOpen = 0
    /// Handshakes of this end: under way, or about to begin.
    public var handshakes = 0

    /// All zero.
    public init() {}
}

public import Link
public import Wire

/// What takes data packets off the links: the relay, or the client.
public protocol PacketHandler: AnyObject {
    /// Takes the data packets of one received batch; called once per batch, never for none.
    ///
    /// Headers are open, nothing is committed. For each packet the handler opens its layer in place, then calls
    /// `table.commit`, and then consumes the packet or sends it on with `table.forward`. Packets live until this returns. During
    /// the call `table` must be used for everything that touches the table; the `Links` object may be used for control messages
    /// and new links only, not for `withTable`.
    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable)
}

/// What takes control messages and hears of links.
public protocol ControlHandler: AnyObject {
    /// A message came, whole; answer it now or later with `Links.answer` or `Links.refuse`.
    ///
    /// Each type's body is no longer than the protocol allows; nothing else about it has been checked.
    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder)

    /// A link stands: the handshake is done and the peer has shown that it has the keys.
    func linkUp(_ link: LinkID, peer: LinkPeer)

    /// A link that had been up is gone, with all its paths; its name finds nothing any more.
    func linkDown(_ link: LinkID, reason: LinkDownReason)
}

/// Who is at the other end of a link.
public enum LinkPeer: Hashable, Sendable {
    /// A node, authenticated.
    case node(NodeID)
    /// A client, which has no identity.
    case client

    /// The node, where it is one.
    public var node: NodeID? {
        switch self {
        case .node(let id): id
        case .client: nil
        }
    }
}

/// Why a link ended.
public enum LinkDownReason: Hashable, Sendable {
    /// We closed it.
    case closedHere
    /// The peer closed it.
    case closedByPeer
    /// It carried no path for too long.
    case idle
    /// Pings were not answered.
    case dead
    /// Its keys could not be renewed in time.
    case keysExpired
    /// The peer broke the protocol on the control connection.
    case violation
    /// Clients' links held too much memory together, and this one's address the most.
    case memory
    /// Its place went to another link.
    case gaveWay
}

/// Why a link could not be made.
public enum LinkFailure: Error, Hashable, Sendable {
    /// The node did not answer.
    case noAnswer
    /// The node id is not a public key, or it is our own.
    case badIdentity
    /// No socket of ours reaches any of the addresses.
    case noAddress
    /// There are as many links as there may be.
    case limit
    /// Links are closing.
    case closing
}

/// What happened on links since the start, for status and metrics; nothing in it names a peer.
public struct LinkCounters: Sendable {
    /// Datagrams that had no effect, by reason.
    public var drops = DropCounters()
    /// Packets whose header was opened.
    public var packetsReceived: UInt64 = 0
    /// Packets handed to a socket, with those that its full queue dropped.
    public var packetsSent: UInt64 = 0
    /// Control packets among those received.
    public var controlReceived: UInt64 = 0
    /// Control packets among those sent.
    public var controlSent: UInt64 = 0
    /// Handshakes that made a link, as initiator.
    public var linksOpened: UInt64 = 0
    /// Handshakes that made a link, as responder.
    public var linksAccepted: UInt64 = 0
    /// Handshakes of ours without an answer.
    public var handshakesFailed: UInt64 = 0
    /// Cookies sent.
    public var cookiesSent: UInt64 = 0
    /// Links that ended.
    public var linksClosed: UInt64 = 0
    /// Links found dead.
    public var linksDead: UInt64 = 0
    /// Links whose place went to another.
    public var linksGaveWay: UInt64 = 0
    /// Times that keys were renewed.
    public var rekeys: UInt64 = 0
    /// Links that moved to a new address.
    public var moves: UInt64 = 0
    /// Control messages refused because of a limit.
    public var messagesRefused: UInt64 = 0
    /// Packets that came to another worker than their link's, and were handed on.
    public var packetsHandedOn: UInt64 = 0
    /// Those that could not be handed on, and control packets that worker 0 had no room for.
    public var packetsNotHandedOn: UInt64 = 0

    /// All zero.
    public init() {}
}

/// How many links there are now.
public struct LinkStatus: Sendable, Equatable {
    /// Links with nodes that are up.
    public var nodes = 0
    /// Links with clients that are up.
    public var clients = 0
    /// Links whose initiator has not shown its keys yet.
    public var halfOpen = 0
    /// Handshakes of ours under way.
    public var handshakes = 0

    /// None at all.
    public init() {}
}

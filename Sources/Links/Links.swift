public import EventLoop
public import Link
public import Wire

/// The links of one worker: its sockets, the link table, and each link's control connection.
///
/// Relay and client both stand on it. It belongs to the loop's thread; callbacks run there, never inside of a call to it.
public final class Links {
    /// The loop.
    public let loop: Loop
    /// What was configured.
    public let configuration: LinksConfiguration
    /// Takes data packets whose path id's table index has its top bit clear.
    public weak var relay: (any PacketHandler)?
    /// Takes data packets whose path id's table index has its top bit set.
    public weak var client: (any PacketHandler)?
    /// Takes control messages and hears of links.
    public weak var control: (any ControlHandler)?

    /// Opens the sockets.
    ///
    /// `identity` is a node's; a client has none and takes no handshakes. `isStaked` tells which nodes may begin links.
    /// `wallClock` is nanoseconds since 1970; the system's unless a test has another.
    public init(
        on loop: Loop, configuration: LinksConfiguration, identity: LinkIdentity?,
        isStaked: @escaping (NodeID) -> Bool = { _ in false }, wallClock: @escaping () -> UInt64 = { 0 }
    ) throws(UVError) {
        self.loop = loop
        self.configuration = configuration
    }

    // MARK: Links

    /// Gets a link to `node`: the one there is, or a new one by a handshake with `endpoints` in turn.
    ///
    /// `completion` runs later, not inside of this call.
    public func link(
        to node: NodeID, at endpoints: [Endpoint], completion: @escaping (Result<LinkID, LinkFailure>) -> Void
    ) {}

    /// The link to `node` that is up, if any.
    public func existingLink(to node: NodeID) -> LinkID? { nil }

    /// Who is at the other end of a link that is up; nil when it is gone.
    public func peer(of link: LinkID) -> LinkPeer? { nil }

    /// Where the other end is; nil when the link is gone.
    public func endpoint(of link: LinkID) -> Endpoint? { nil }

    /// Says that a path uses the link, so that it is not closed for idleness.
    public func addPath(on link: LinkID) {}

    /// Says that a path no longer uses the link.
    public func removePath(on link: LinkID) {}

    /// Tells the peer, and forgets the link; `linkDown` follows.
    public func close(_ link: LinkID) {}

    /// Closes all links and sockets, telling the peers; `completion` runs when what could be sent has been.
    public func closeAll(completion: @escaping () -> Void) {}

    // MARK: Control messages

    /// Sends a control message and waits for its answer, up to `timeout`.
    ///
    /// `reply` runs once, later, not inside of this call.
    public func request(
        on link: LinkID, _ message: ControlMessage, body: [UInt8], timeout: TimeSpan = .seconds(10),
        reply: @escaping (Result<[UInt8], ControlFailure>) -> Void
    ) {}

    /// Sends a control message whose answer does not matter.
    public func send(on link: LinkID, _ message: ControlMessage, body: [UInt8]) {}

    /// Answers a control message; does nothing when it was answered, timed out, or its link is gone.
    public func answer(_ responder: ControlResponder, _ body: [UInt8]) {}

    /// Refuses a control message: resets its stream, without a reason.
    public func refuse(_ responder: ControlResponder) {}

    // MARK: Packets

    /// Gives access to the table for sending packets outside of `PacketHandler.receive`; must not be nested.
    public func withTable<R>(_ body: (inout LinkTable) -> R) -> R { fatalError() }

    // MARK: State

    /// The wall clock: a node's own, a client's by the nodes that it links to.
    public var time: UnixTime { UnixTime(seconds: 0) }
    /// From how many nodes a client has the time.
    public var timeSources: Int { 0 }
    /// The addresses that the sockets are bound to.
    public var localAddresses: [SocketAddress] { [] }
    /// What happened so far.
    public var counters: LinkCounters { LinkCounters() }
    /// How many links there are.
    public var status: LinkStatus { LinkStatus() }

    /// Opens new sockets in place of the present ones, after the network has changed; links stay and tell their peers.
    public func rebind() throws(UVError) {}
}

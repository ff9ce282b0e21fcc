public import EventLoop
public import Link
internal import Messages
public import Transport
public import Wire

/// The configuration of one worker's links.
///
/// It has more members than most types: each is one setting, most with a default.
public struct LinksConfiguration: Sendable {
    /// The network's id and packet size.
    public var network: LinkNetwork
    /// The addresses to bind to: at most one per family; a client uses port 0.
    public var listen: [SocketAddress]
    /// The control messages that peers may send; the stream of any other message is reset at its first byte.
    public var messages: [MessageKind]
    /// Whether an address family that this machine lacks is left out, if another one works.
    public var mayLackFamily = false
    /// The most links at once, including half-open ones; `LinkPlaces` divides them among sources.
    public var maximumLinks = 8_192
    /// The most handshakes of this end at once.
    public var maximumHandshakes = 256
    /// The most half-open links.
    public var maximumHalfOpen = 1_024
    /// How long a link may stay half-open.
    public var halfOpenTime = TimeSpan.seconds(10)
    /// Abuse limits of the responder.
    public var responder = LinkResponder.Limits()
    /// When initiations are repeated.
    public var initiator = LinkInitiator.Timing()
    /// When keys are renewed, and when they end.
    public var keys = LinkKeyring.Timing()
    /// When a silent peer is considered dead.
    public var liveness = Liveness.Timing()
    /// Whether this end's own line may be slow or full, as a user's may be: a late or silent node need not be dead.
    public var isOnSlowLine = false
    /// How long a link with a client stays open without paths.
    public var clientIdle = IdleTimer.clientLimit
    /// How long a link between nodes stays open without paths.
    public var nodeIdle = IdleTimer.nodeLimit
    /// Control messages that a peer may have under way on one link, without those that count apart.
    public var messagesPerLink = 64
    /// Control messages of this end that may be under way on one link, without those that count apart.
    public var requestsPerLink = 128
    /// Builds that either end may have under way on a link with a client; they count apart from other messages.
    public var buildsPerClientLink = 128
    /// Builds that either end may have under way on a link with a node.
    ///
    /// One whose next hop is silent takes a place for eight seconds. A node that passes builds on shares the places
    /// among those that it passes on for.
    public var buildsPerNodeLink = 512
    /// Messages of onion requests that either end may have under way on a link with a node: 32 FORWARD and 32 ANSWER.
    ///
    /// They count apart from other messages. A client's link has none.
    public var onionRequestsPerLink = 64
    /// Messages of the swarm store that either end may have under way on a link with a node; a client's link has none.
    public var storeMessagesPerLink = 16
    /// DESTROYs of this end that may wait on one link until others are answered; a node's link carries up to 50,000
    /// paths.
    public var destroysPerLink = 65_536
    /// Control messages per second from a client, and their burst.
    public var clientMessages = (rate: 20, burst: 200)
    /// The rate that all links of one address share, as a multiple of one client link's rate.
    public var addressRateFactor = 16
    /// Control messages per second from a node, and their burst.
    public var nodeMessages = (rate: 1_000, burst: 4_000)
    /// The most bytes that unfinished messages of one client hold.
    public var clientMessageMemory = 320 << 10
    /// The most bytes that unfinished messages of one node hold.
    public var nodeMessageMemory = 2 << 20
    /// The most bytes that answers above 64 KiB hold until they are written, over all links.
    public var answerMemory = 256 << 20
    /// How long a message may take to arrive whole, and how long an answer may make no progress.
    public var messageTime = TimeSpan.seconds(30)
    /// How long a message may wait for this end's answer.
    public var answerTime = TimeSpan.seconds(60)
    /// Limits of the control connections.
    public var control = ConnectionConfiguration.control
    /// The most bytes that all clients' control connections and messages hold; beyond it the largest links end.
    public var maximumClientMemory = 256 << 20
    /// Options of the sockets.
    public var socket = DatagramSocket.Configuration()
    /// The sockets of all workers of a node at the addresses in `listen`, in their order; empty: each socket is bound
    /// when the links are made.
    public var groups: [DatagramGroup] = []

    /// The defaults for `network` on the addresses `listen`, taking `messages` from peers.
    public init(network: LinkNetwork, listen: [SocketAddress], messages: [MessageKind]) {
        self.network = network
        self.listen = listen
        self.messages = messages
    }
}

extension LinksConfiguration {
    /// The limits of builds, of which either end may have `count` under way.
    func builds(_ count: Int) -> MessageExchange.Limits.Allowance { allowance(of: .builds, count) }

    /// The limits of the messages of onion requests on a link with a node.
    var onionRequests: MessageExchange.Limits.Allowance { allowance(of: .requests, onionRequestsPerLink) }

    /// The limits of the swarm store's messages on a link with a node.
    var store: MessageExchange.Limits.Allowance { allowance(of: .store, storeMessagesPerLink) }

    /// The limits of a lane of which either end may have `count` messages under way.
    ///
    /// The sender counts the messages that wait for an answer, the receiver those that it has not answered. The
    /// receiver also bounds the bytes of messages that have not arrived whole; all of them may be of the longest kind.
    private func allowance(of lane: MessageLane, _ count: Int) -> MessageExchange.Limits.Allowance {
        let longest = messages.filter { $0.lane == lane }.map(\.longestBody).max() ?? 0
        return .init(incoming: count, requests: count, unfinishedBytes: count * longest)
    }
}

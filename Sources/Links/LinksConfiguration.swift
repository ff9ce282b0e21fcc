public import EventLoop
public import Link
internal import Messages
public import Transport
public import Wire

/// How the links of one worker are set up.
///
/// It has more members than most types: each is one setting, most with a default.
public struct LinksConfiguration: Sendable {
    /// The network.
    public var network: LinkNetwork
    /// What to bind to: at most one address per family, with port 0 for a client.
    public var listen: [SocketAddress]
    /// The control messages that are taken from peers; of all others the streams are reset at their first byte.
    public var messages: [MessageKind]
    /// Whether a family that this machine lacks is left out, as long as there is another one.
    public var mayLackFamily = false
    /// The most links at once, half-open ones among them; `LinkPlaces` says how sources share them.
    public var maximumLinks = 8_192
    /// The most handshakes of ours at once.
    public var maximumHandshakes = 256
    /// The most half-open links.
    public var maximumHalfOpen = 1_024
    /// How long a link may be half-open.
    public var halfOpenTime = TimeSpan.seconds(10)
    /// Abuse limits of the responder.
    public var responder = LinkResponder.Limits()
    /// When initiations are repeated.
    public var initiator = LinkInitiator.Timing()
    /// When keys change.
    public var keys = LinkKeyring.Timing()
    /// When the peer is taken for dead.
    public var liveness = Liveness.Timing()
    /// Whether this end's own line may be slow or crowded, as a user's is: what is late or silent need not be dead.
    public var isOnSlowLine = false
    /// How long a client's link stays without paths.
    public var clientIdle = IdleTimer.clientLimit
    /// How long a link between nodes stays without paths.
    public var nodeIdle = IdleTimer.nodeLimit
    /// Control messages that a peer may have under way on one link.
    public var messagesPerLink = 64
    /// Control messages of ours that may be under way on one link.
    public var requestsPerLink = 128
    /// Messages of onion requests that either end may have under way on a link with a node, beside the others: 32 FORWARD and
    /// 32 ANSWER.
    ///
    /// A client has none.
    public var onionRequestsPerLink = 64
    /// DESTROYs of ours that may wait on one link until others have been answered: a node's link carries 50,000 paths.
    public var destroysPerLink = 65_536
    /// Control messages a second from a client, and their burst.
    public var clientMessages = (rate: 20, burst: 200)
    /// How many times the rate of one client's link all links of one address have together.
    public var addressRateFactor = 16
    /// Control messages a second from a node, and their burst.
    public var nodeMessages = (rate: 1_000, burst: 4_000)
    /// Bytes that the unfinished messages of one client may hold together.
    public var clientMessageMemory = 320 << 10
    /// Bytes that the unfinished messages of one node may hold together.
    public var nodeMessageMemory = 2 << 20
    /// Bytes that answers above 64 KiB may hold together, over all links, until they are written.
    public var answerMemory = 256 << 20
    /// How long a message may take to come whole, and an answer to make progress.
    public var messageTime = TimeSpan.seconds(30)
    /// How long a message may wait for our answer.
    public var answerTime = TimeSpan.seconds(60)
    /// Limits of the control connections.
    public var control = Configuration.control
    /// What all clients' control connections and messages together may hold in memory, in bytes; beyond it the largest end.
    public var maximumClientMemory = 256 << 20
    /// Options of the sockets.
    public var socket = DatagramSocket.Configuration()
    /// This worker's number: the upper eight bits of its receiver indices.
    public var worker: UInt8 = 0

    /// The defaults for `network` on the addresses `listen`, taking `messages` from peers.
    public init(network: LinkNetwork, listen: [SocketAddress], messages: [MessageKind]) {
        self.network = network
        self.listen = listen
        self.messages = messages
    }
}

extension LinksConfiguration {
    /// What the messages of onion requests may take on a link with a node.
    ///
    /// At the sender the count bounds what waits for an answer, at the receiver what is not answered. Their bytes are
    /// bounded at the receiver until a message has come whole: all of them may be of the longest kind.
    var onionRequests: MessageExchange.Limits.Allowance {
        let longest = messages.filter { $0.lane == .requests }.map(\.longestBody).max() ?? 0
        return .init(
            incoming: onionRequestsPerLink, requests: onionRequestsPerLink,
            unfinishedBytes: onionRequestsPerLink * longest)
    }
}

internal import EventLoop
internal import Link
internal import Messages
internal import OnionCrypto
internal import Transport
internal import Wire

/// The state of a link that packets do not touch: its keys' generations, its control messages, idleness and address.
///
/// `Links` owns it, and does everything that needs a socket or the table.
///
/// It has more members than most types: each is one fact of the link, and `Links` changes several of them in one step.
final class ControlLink {
    typealias Reply = (Result<[UInt8], ControlFailure>) -> Void

    let id: LinkID
    let peer: LinkPeer
    let isInitiator: Bool
    /// The worker to which the link's packets come.
    let owner: UInt8
    /// Whether all workers have the link.
    var stands = false
    /// What waits for that.
    var whenItStands: (() -> Void)?
    /// The moment at which the handshake was done.
    let since: Instant
    /// The peer's wall clock at that moment, if the peer is a node; nil for a client.
    let peerTime: UnixTime?
    /// The generations of the link's keys; the table has the parts that packets touch.
    var keyring: LinkKeyring
    /// The answer to REKEY, until the table has the keys that it promises.
    var rekeyAnswer: (stream: StreamID, body: [UInt8])?
    /// The control messages and the connection that carries them.
    var exchange: MessageExchange
    /// The closures that take the answers to our own messages.
    private var replies: [StreamID: Reply] = [:]
    /// The bytes of long answers that may be copied for the peer: a copy takes the loop's time.
    var copies: TokenBucket
    var idle: IdleTimer
    var address: PeerAddress
    /// Whether this node began the link without its identity.
    var isAnonymous = false
    /// Whether the handler was told `linkUp`.
    var isUp = false
    /// Whether the link has left the table.
    var isGone = false
    /// While the link closes: the moment at which it is removed even if the peer has not acknowledged the close.
    var closingUntil: Instant?
    /// Whether the schedule's list of links with something to send contains it.
    var isDirty = false
    /// Fires at the control connection's deadline.
    let timer: LoopTimer
    /// When it tries again to send while its socket has no room.
    var roomWait = RoomWait()

    init(
        id: LinkID, peer: LinkPeer, isInitiator: Bool, ownerIsClient: Bool, address: Endpoint,
        configuration: LinksConfiguration, kinds: MessageTable, peerTime: UnixTime?, keyring: consuming LinkKeyring,
        timer: LoopTimer, owner: UInt8, now: Instant
    ) {
        self.keyring = keyring
        self.id = id
        self.owner = owner
        self.peer = peer
        self.isInitiator = isInitiator
        since = now
        self.peerTime = peerTime
        self.timer = timer
        var limits = configuration.control
        if peer == .client {
            limits.maxStreamWindow = min(limits.maxStreamWindow, 256 << 10)
            limits.maxConnectionWindow = min(limits.maxConnectionWindow, 512 << 10)
        } else {
            limits.maxPeerStreams = max(limits.maxPeerStreams, 2 * configuration.buildsPerNodeLink)
        }
        exchange = MessageExchange(
            role: isInitiator ? .initiator : .responder, connection: limits,
            payloadSize: configuration.network.packetSize - Packet.payloadOffset, seed: SecureRandom.u64(),
            kinds: kinds,
            limits: configuration.messageLimits(isClient: peer == .client, isClients: peer == .client || ownerIsClient),
            now: now)
        copies = TokenBucket(perSecond: 4 << 20, burst: 32 << 20, now: now)
        // A client's link to its guard has the client's limit of idleness too.
        let isClients = peer == .client || ownerIsClient
        idle = IdleTimer(limit: isClients ? configuration.clientIdle : configuration.nodeIdle, now: now)
        self.address = PeerAddress(address, mayMove: peer == .client)
    }

    /// Whether messages can be sent and received.
    var isOpen: Bool { !isGone && closingUntil == nil }

    /// Begins a message; false if the exchange does not accept it.
    ///
    /// `reply` runs later, not inside of this call.
    func begin(_ kind: MessageKind, _ body: [UInt8], timeout: TimeSpan, now: Instant, reply: Reply?) -> Bool {
        guard let stream = exchange.begin(kind, body: body, timeout: timeout, now: now) else { return false }
        replies[stream] = reply
        return true
    }

    /// Removes and returns the closure that takes the answer to one message.
    func takeReply(_ stream: StreamID) -> Reply? { replies.removeValue(forKey: stream) }

    /// Removes and returns all closures that take answers.
    func takeReplies() -> [Reply] {
        defer { replies = [:] }
        return Array(replies.values)
    }
}

extension LinksConfiguration {
    /// The limits of messages on a link with a client or with a node.
    ///
    /// `isClients`: either end is a client.
    fileprivate func messageLimits(isClient: Bool, isClients: Bool) -> MessageExchange.Limits {
        var limits = MessageExchange.Limits(
            incoming: messagesPerLink, requests: requestsPerLink, destroys: destroysPerLink,
            rate: isClient ? clientMessages : nodeMessages,
            unfinishedBytes: isClient ? clientMessageMemory : nodeMessageMemory, arrivalTime: messageTime,
            answerTime: answerTime)
        limits.builds = builds(isClients ? buildsPerClientLink : buildsPerNodeLink)
        if !isClient {
            limits.onionRequests = onionRequests
            limits.store = store
        }
        return limits
    }
}

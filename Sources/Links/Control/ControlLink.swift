internal import EventLoop
internal import Link
internal import Messages
internal import OnionCrypto
internal import Transport
internal import Wire

/// What a link has beside the state that packets touch: its messages, and its life.
///
/// Belongs to `Links`, which does all that needs a socket or the table.
final class ControlLink {
    typealias Reply = (Result<[UInt8], ControlFailure>) -> Void

    let id: LinkID
    let peer: LinkPeer
    let isInitiator: Bool
    /// When the handshake was done.
    let since: Instant
    /// The node's wall clock at that time; nil for a client.
    let peerTime: UnixTime?
    /// The generations of its keys; the table has what packets touch of them.
    var keyring: LinkKeyring
    /// The answer to REKEY, until the table has the keys that it promises.
    var rekeyAnswer: (stream: StreamID, body: [UInt8])?
    /// The control messages and the connection that carries them.
    var exchange: MessageExchange
    /// Who waits for the answers to messages of ours.
    private var replies: [StreamID: Reply] = [:]
    var idle: IdleTimer
    var address: PeerAddress
    /// Whether this end is a node and has begun the link without showing it.
    var isAnonymous = false
    /// Whether `linkUp` was told.
    var isUp = false
    /// Whether the link has left the table.
    var isGone = false
    /// Whether it waits for its last packets to go.
    var closingUntil: Instant?
    /// Whether it stands in the list of links with something to send.
    var isDirty = false
    /// For the control connection's deadline.
    let timer: LoopTimer

    init(
        id: LinkID, peer: LinkPeer, isInitiator: Bool, ownerIsClient: Bool, address: Endpoint,
        configuration: LinksConfiguration, kinds: MessageTable, peerTime: UnixTime?, keyring: consuming LinkKeyring,
        timer: LoopTimer, now: Instant
    ) {
        self.keyring = keyring
        self.id = id
        self.peer = peer
        self.isInitiator = isInitiator
        since = now
        self.peerTime = peerTime
        self.timer = timer
        var limits = configuration.control
        if peer == .client {
            limits.maxStreamWindow = min(limits.maxStreamWindow, 256 << 10)
            limits.maxConnectionWindow = min(limits.maxConnectionWindow, 512 << 10)
        }
        exchange = MessageExchange(
            role: isInitiator ? .initiator : .responder, connection: limits,
            payloadSize: configuration.network.packetSize - Packet.payloadOffset, seed: SecureRandom.u64(),
            kinds: kinds, limits: configuration.messageLimits(isClient: peer == .client), now: now)
        // A client's own link to its guard is idle by a client's measure as well.
        let isClients = peer == .client || ownerIsClient
        idle = IdleTimer(limit: isClients ? configuration.clientIdle : configuration.nodeIdle, now: now)
        self.address = PeerAddress(address, mayMove: peer == .client)
    }

    /// Whether messages may come and go.
    var isOpen: Bool { !isGone && closingUntil == nil }

    /// Begins a message; false when the exchange does not take it.
    ///
    /// `reply` runs later, not inside of this call.
    func begin(_ kind: MessageKind, _ body: [UInt8], timeout: TimeSpan, now: Instant, reply: Reply?) -> Bool {
        guard let stream = exchange.begin(kind, body: body, timeout: timeout, now: now) else { return false }
        replies[stream] = reply
        return true
    }

    /// Takes out who waits for the answer to one message.
    func takeReply(_ stream: StreamID) -> Reply? { replies.removeValue(forKey: stream) }

    /// Takes out all who wait for answers.
    func takeReplies() -> [Reply] {
        defer { replies = [:] }
        return Array(replies.values)
    }
}

extension LinksConfiguration {
    /// How much a client or a node may ask on a link.
    fileprivate func messageLimits(isClient: Bool) -> MessageExchange.Limits {
        var limits = MessageExchange.Limits(
            incoming: messagesPerLink, requests: requestsPerLink, destroys: destroysPerLink,
            rate: isClient ? clientMessages : nodeMessages,
            unfinishedBytes: isClient ? clientMessageMemory : nodeMessageMemory, arrivalTime: messageTime,
            answerTime: answerTime)
        if !isClient { limits.onionRequests = onionRequests }
        return limits
    }
}

internal import OnionCrypto
public import Wire

/// The result of a finished handshake, on either side.
public struct NewLink: ~Copyable {
    /// The node at the other end; nil for a client.
    public let peer: Bytes32?
    /// The other end's wall clock at the handshake; nil for a client.
    ///
    /// A responder may use it only after the link is confirmed, because an initiation may be a recorded one.
    public let peerTime: UnixTime?
    /// Whether we began the handshake.
    public let isInitiator: Bool
    /// How long the other end's answer took; nil at the responder.
    public let roundTrip: TimeSpan?
    private let keyring: LinkKeyring
    private var receiver: LinkReceiver?

    init(
        keys: consuming SplitKeys, network: LinkNetwork, isInitiator: Bool, suite: Suite, localIndex: UInt32,
        remoteIndex: UInt32, peer: Bytes32?, peerTime: UnixTime?, roundTrip: TimeSpan? = nil, now: Instant
    ) {
        self.peer = peer
        self.roundTrip = roundTrip
        self.peerTime = peerTime
        self.isInitiator = isInitiator
        keyring = LinkKeyring(
            keys, network: network, isInitiator: isInitiator, suite: suite, remoteIndex: remoteIndex, now: now)
        receiver = LinkReceiver(
            ReceivingKeys(keys, isInitiator: isInitiator, suite: suite, localIndex: localIndex, now: now),
            controlStart: keys.controlStart(ofInitiator: !isInitiator))
    }

    /// The receiving side, moved out; a second call traps.
    public mutating func takeReceiver() -> LinkReceiver {
        guard let receiver = receiver.take() else { preconditionFailure("a link has one receiving side") }
        return receiver
    }

    /// The keyring, moved out.
    public consuming func takeKeyring() -> LinkKeyring { keyring }
}

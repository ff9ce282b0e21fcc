public import Wire

/// Which congestion controller legs use.
public enum CongestionAlgorithm: Sendable {
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406): reads loss as congestion.
    case cubic
    /// A model of the path from delivery rate and smallest round-trip time, similar to BBR: only heavy loss counts as
    /// congestion.
    case model
}

/// Limits and choices of a connection, in bytes unless stated otherwise.
///
/// The protocol fixes the credit that a peer may use before any grant (`InitialLimits`). A limit below that has the
/// effect of that credit.
public struct ConnectionConfiguration: Sendable {
    /// The congestion controller of new legs.
    public var congestion: CongestionAlgorithm = .model
    /// The largest receive window of a stream; at most a quarter of `maxConnectionWindow` takes effect.
    public var maxStreamWindow = 7 << 20
    /// The limit of bytes of all streams together that the peer may send or that are unread.
    ///
    /// Credit is granted ahead of the received bytes, not of those read, so that unread streams do not stop the others.
    /// When three quarters of this limit are unread, streams that the application does not read are reset, the largest
    /// first.
    public var maxConnectionWindow = 28 << 20
    /// A stream counts as unread after the application could read from it and has read nothing for this long.
    public var unreadGrace = TimeSpan.seconds(2)
    /// The limit of the bytes that one stream holds for sending, from the first unacknowledged one on.
    ///
    /// Of these, at most two congestion windows are unsent or unacknowledged, or `InitialLimits.streamData` if that is
    /// more.
    public var maxStreamSendBuffer = 8 << 20
    /// The limit of the bytes that all streams hold for sending, if two congestion windows need as much.
    ///
    /// When it is reached, streams get room in turns; a stream that writes little at a time may always hold 4 KiB.
    public var maxSendBuffer = 24 << 20
    /// How many streams of the peer may be open at once.
    public var maxPeerStreams = 4_096
    /// The budget of datagrams waiting to be sent, and a second one of the same size for those waiting to be polled.
    public var maxDatagramQueue = 512 << 10
    /// The budget of datagrams whose fragments are being reassembled.
    public var maxReassembly = 512 << 10
    /// Whether the connection carries datagrams; if not, a datagram from the peer is a violation.
    public var takesDatagrams = true
    /// The largest number of legs.
    public var maxLegs = 8
    /// The longest delay of an acknowledgement.
    public var maxAckDelay = TimeSpan.milliseconds(40)

    /// The defaults, for a session.
    public init() {}

    /// Smaller limits, for the control connection of a link.
    public static var control: ConnectionConfiguration {
        var limits = ConnectionConfiguration()
        limits.maxStreamWindow = 1 << 20
        limits.maxConnectionWindow = 2 << 20
        limits.maxStreamSendBuffer = 1 << 20
        limits.maxSendBuffer = 4 << 20
        limits.maxPeerStreams = 256
        limits.maxLegs = 1
        limits.takesDatagrams = false
        return limits
    }
}

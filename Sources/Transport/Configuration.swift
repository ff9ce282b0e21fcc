public import Wire

/// Which congestion controller legs use.
public enum CongestionAlgorithm: Sendable {
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406): reads loss as congestion.
    case cubic
    /// A model of the path from delivery rate and smallest round-trip time, in the manner of BBR: reads only heavy loss as
    /// congestion.
    case model
}

/// Limits and choices of a connection, in bytes unless said otherwise.
///
/// What a peer may use before it has heard of any grant is fixed by the protocol (`InitialLimits`); limits below those
/// take effect as if they were those.
public struct Configuration: Sendable {
    /// The congestion controller of new legs.
    public var congestion: CongestionAlgorithm = .model
    /// How far a stream's receive window may grow; at most a quarter of `maxConnectionWindow` counts.
    public var maxStreamWindow = 5 << 20
    /// The cap on what all streams together may hold unread.
    ///
    /// Credit is given ahead of what has come, not of what was read, so that unread streams do not stop the others; when
    /// they hold three quarters of this cap, those that nobody reads are reset, the largest first.
    public var maxConnectionWindow = 20 << 20
    /// How long nothing must have been read of a stream before it counts as one that nobody reads.
    public var unreadGrace = TimeSpan.seconds(2)
    /// What one stream may hold unsent and unacknowledged; it starts at `InitialLimits.streamData` and grows with the
    /// congestion window.
    public var maxStreamSendBuffer = 8 << 20
    /// What all streams together may hold unsent and unacknowledged, if two congestion windows are as much; when it is taken,
    /// streams get room in turns, and one that writes little at a time may hold 4 KiB in any case.
    public var maxSendBuffer = 32 << 20
    /// How many streams of the peer may be open at once.
    public var maxPeerStreams = 4_096
    /// What datagrams waiting to be sent, and to be polled, may hold: each a budget of its own.
    public var maxDatagramQueue = 512 << 10
    /// What datagrams being put together may hold.
    public var maxReassembly = 512 << 10
    /// Whether datagrams come and go; where they do not, one from the peer is a violation.
    public var takesDatagrams = true
    /// How many legs there may be.
    public var maxLegs = 8
    /// The longest wait before an acknowledgement.
    public var maxAckDelay = TimeSpan.milliseconds(25)

    /// The defaults, for a session.
    public init() {}

    /// Smaller limits, for the control connection of a link.
    public static var control: Configuration {
        var limits = Configuration()
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

public import Wire

/// Names one leg of a session: a path between the same two ends.
///
/// Both ends use the same number.
public struct LegID: Hashable, Sendable {
    /// The number, as ACK and LEG frames carry it.
    public var value: UInt8

    /// The leg `value`.
    public init(_ value: UInt8) { self.value = value }
}

/// Names one stream: even if the initiator opened it, odd if the responder did.
public struct StreamID: Hashable, Sendable {
    /// The number, as frames carry it; below 2^62.
    public var value: UInt64

    /// The stream `value`, which must be below 2^62; this is not checked.
    public init(_ value: UInt64) { self.value = value }

    /// Whether the initiator opened it.
    public var isInitiators: Bool { value & 1 == 0 }
}

/// Which end of a connection this is.
public enum ConnectionRole: Sendable {
    /// Opens streams with even numbers and chooses the active leg.
    case initiator
    /// Opens streams with odd numbers and follows the initiator's choice of leg.
    case responder
}

/// Why a stream could not be opened.
public enum StreamError: Error, Equatable {
    /// The peer admits no more streams now; `.streamsAvailable` tells when it does.
    case limitReached
    /// The connection is closed.
    case connectionClosed
}

/// Codes of RESET_STREAM and STOP_SENDING that the transport itself uses.
public enum StreamCode {
    /// The receiver had too many unread bytes, and this was the largest of the streams that the application did not
    /// read.
    public static let unread: UInt64 = 0x10
}

/// The state of the receive half of a stream.
public enum ReadState: Equatable, Sendable {
    /// More bytes may come.
    case open
    /// The peer has finished and every byte has been consumed: end of stream.
    case finished
    /// The peer reset its half, with its code, or this end dropped it (`StreamCode.unread`); unconsumed bytes are lost.
    case reset(UInt64)
    /// There is no such stream, or it is closed and forgotten.
    case unknown
}

/// Events for the connection's owner, polled with `nextEvent`.
public enum ConnectionEvent: Equatable, Sendable {
    /// The peer opened a stream. Always the first event of that stream.
    case streamOpened(StreamID)
    /// Bytes, or the end of the stream, can be read. Reported again only when more has come.
    case readable(StreamID)
    /// There is room again after a `write` that took only a part, or a `sendCapacity` of 0.
    case writable(StreamID)
    /// The peer has acknowledged every byte and the end of our half.
    case finished(StreamID)
    /// The peer reset its half, or, with `StreamCode.unread`, this end dropped it because the application did not read
    /// it.
    case reset(StreamID, code: UInt64)
    /// The peer no longer reads: unsent bytes are dropped, and our half is reset automatically with the same code.
    case stopSending(StreamID, code: UInt64)
    /// Both halves are done and the number is forgotten. Always the last event of a stream.
    case streamClosed(StreamID)
    /// All streams that the peer allowed had been opened, and `openStream` can succeed now.
    case streamsAvailable
    /// A whole datagram, reassembled if it came in fragments.
    case datagram(flow: UInt64, [UInt8])
    /// The peer has acknowledged a packet of this leg for the first time.
    case legValidated(LegID)
    /// Two probes in a row of this leg went unanswered while data was in flight.
    case legSuspect(LegID)
    /// The initiator now wants data on this leg (responder only); data already goes there.
    case legActivated(LegID)
    /// The peer closed this leg; it is removed here too.
    case legClosed(LegID)
    /// The peer asks for an echo. The connection answers on the same leg.
    case pathChallenge(LegID, UInt64)
    /// The peer echoes the bytes of `challenge`.
    case pathResponse(LegID, UInt64)
    /// The peer closed the connection, with its code.
    case closed(code: UInt64)
}

/// Why a packet was not accepted.
public enum ConnectionDropReason: Equatable, Sendable {
    /// No leg has this number here.
    case unknownLeg
    /// The packet number has been seen.
    case duplicate
    /// The packet number is too old to tell whether it has been seen.
    case stale
    /// A frame would make more holes in a stream than are kept. Other frames of the packet have had their effect, but
    /// the packet is not acknowledged, so the peer sends the data again.
    case tooManyGaps
    /// The connection is closed.
    case closed
}

/// How the peer broke the protocol; the raw values travel in CONNECTION_CLOSE.
public enum ConnectionError: UInt64, Error, Equatable, Sendable {
    /// The peer sent data beyond its credit.
    case flowControl = 0x3
    /// The peer opened more streams than it was granted.
    case streamLimit = 0x4
    /// The peer sent a frame for a stream that only this end could open, and has not.
    case streamState = 0x5
    /// The peer changed the final size of a stream, or sent data beyond it.
    case finalSize = 0x6
    /// A frame could not be decoded.
    case frameEncoding = 0x7
    /// The peer acknowledged a packet that was never sent, or made another claim that cannot be true.
    case protocolViolation = 0xa
}

/// The result of a received packet.
public enum ConnectionVerdict: Equatable, Sendable {
    /// Every frame was processed.
    case accepted
    /// The packet is not acknowledged; it had no effect, except as ``ConnectionDropReason/tooManyGaps`` says.
    case dropped(ConnectionDropReason)
    /// The peer broke the protocol; the connection has closed itself and sends CONNECTION_CLOSE in its next packets.
    case violation(ConnectionError)
}

/// The state of a leg.
public struct LegStatus: Equatable, Sendable {
    /// The smoothed round-trip time; the initial estimate before the first sample.
    public var smoothedRTT: TimeSpan
    /// The smallest round-trip time of all samples; nil before the first.
    public var minRTT: TimeSpan?
    /// How many probe timeouts in a row have passed since the last acknowledgement.
    public var ptoCount: Int
    /// Payload bytes in flight: sent, and neither acknowledged nor declared lost.
    public var bytesInFlight: Int
    /// Payload bytes that may be in flight.
    public var congestionWindow: Int
    /// When the last valid packet came; nil before the first.
    public var lastReceived: Instant?
    /// Whether the peer has acknowledged a packet of this leg.
    public var everAcknowledged: Bool
    /// When the newest acknowledged packet was sent.
    public var answeredTime: Instant?
    /// Whether the leg carries data.
    public var isActive: Bool
    /// Packets sent on the leg, acknowledged or not.
    public var packetsSent: UInt64
    /// Packets that the peer has acknowledged.
    public var packetsAcknowledged: UInt64
    /// Packets declared lost, including those that were acknowledged later.
    public var packetsLost: UInt64
    /// Packets declared lost that were acknowledged later.
    public var packetsSpuriouslyLost: UInt64
    /// Packets received and accepted.
    public var packetsReceived: UInt64
}

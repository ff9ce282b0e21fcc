public import Wire

/// Reliable streams and unreliable datagrams between two ends, over one or more legs.
///
/// QUIC's design (RFC 9000, 9002, 9221) without its handshake. It does no I/O and reads no clock: packets, times and calls
/// go in; packets, events and one deadline come out. Not thread-safe; times must not run backwards.
///
/// The caller gives each leg packets that arrive whole, authentic and at most once, with a packet number per leg and direction that
/// strictly increases and starts near 0. After `receive`, after `deadlineReached` and after any call on
/// streams or datagrams it should call `writePacket` for each leg while `wantsToSend` says so, poll events, and set a
/// timer to `nextDeadline`.
public struct Connection: ~Copyable {
    /// A connection without legs. `seed` feeds `numbersToSkip` and the hash of stream numbers; it must not be known to the peer.
    public init(role: Role, configuration: Configuration = Configuration(), seed: UInt64) {  }

    // MARK: Legs

    /// Adds a leg whose packets carry `payloadSize` bytes (256 to 65,535).
    ///
    /// `preamble` is an encoded frame (LEG_HELLO) that stands first in every packet until the peer has acknowledged one.
    /// `initialRTT` is what building the path took, if known. The first leg is active at once; others stand by until activated.
    /// False if the number is taken or there are `maxLegs` already.
    @discardableResult
    public mutating func addLeg(
        _ id: LegID, payloadSize: Int, preamble: [UInt8] = [], initialRTT: TimeSpan? = nil, now: Instant
    ) -> Bool { false }

    /// Forgets a leg; what is unacknowledged there is queued again at once. The initiator tells the responder over another leg.
    ///
    /// If it was active, no leg is until `activate`.
    public mutating func removeLeg(_ id: LegID, now: Instant) {  }

    /// Moves data to this leg. The initiator's choice binds the responder too, by LEG_ACTIVE; a responder's call is local.
    ///
    /// What the old leg has in flight stays there if it still works, and moves over if probes went unanswered.
    public mutating func activate(_ id: LegID, now: Instant) {  }

    /// The leg on which data goes.
    public var activeLeg: LegID? { nil }

    /// What is known about a leg; nil if there is none.
    public func legStatus(_ id: LegID) -> LegStatus? { nil }

    /// Makes the next packet of the leg one that the peer acknowledges at once.
    public mutating func ping(_ id: LegID) {  }

    /// Sends PATH_CHALLENGE once on this leg; `.pathResponse` brings the same eight bytes back.
    public mutating func challenge(_ id: LegID, data: UInt64) {  }

    // MARK: Packets

    /// Takes the payload of a packet that arrived on a leg.
    public mutating func receive(leg id: LegID, packetNumber: UInt64, payload: RawSpan, now: Instant) -> Verdict { .dropped(.closed) }

    /// Fills `payload`, whose size must be the leg's `payloadSize`, with frames and padding; false if nothing may be sent now.
    ///
    /// When false, `packetNumber` is unused and `payload` may have been written to. The number must be above all earlier ones
    /// of the leg.
    public mutating func writePacket(
        leg id: LegID, packetNumber: UInt64, into payload: inout MutableRawSpan, now: Instant
    ) -> Bool { false }

    /// Whether `writePacket` would send on this leg.
    public func wantsToSend(leg id: LegID, now: Instant) -> Bool { false }

    /// How many packet numbers to leave out before the next packet: mostly 0, at random 1. An acknowledgement of a number
    /// that was left out gives away a peer that acknowledges what it has not received.
    public mutating func numbersToSkip() -> UInt64 { 0 }

    /// When `deadlineReached` is to be called next, at the latest.
    public var nextDeadline: Instant? { nil }

    /// Runs the timers that are due.
    public mutating func deadlineReached(now: Instant) {  }

    /// Closes at once: every leg sends CONNECTION_CLOSE in its next packet, and again for packets that still come in.
    public mutating func close(code: UInt64) {  }

    /// Whether either end has closed the connection.
    public var isClosed: Bool { false }

    // MARK: Streams

    /// Opens a bidirectional stream; the peer learns of it with its first frame.
    public mutating func openStream() throws(StreamError) -> StreamID { throw .connectionClosed }

    /// How many streams `openStream` would open now.
    public var streamsAvailable: Int { 0 }

    /// Takes bytes for sending, and returns how many; `.writable` follows when there is room for the rest.
    ///
    /// 0 also if the stream is unknown, finished, reset or stopped.
    public mutating func write(_ id: StreamID, _ bytes: RawSpan) -> Int { 0 }

    /// How many bytes `write` would take now. If 0, `.writable` follows.
    public mutating func sendCapacity(_ id: StreamID) -> Int { 0 }

    /// Ends our half after what was written. Repeating it does nothing.
    public mutating func finish(_ id: StreamID) {  }

    /// Gives up our half: drops what is not acknowledged and tells the peer.
    public mutating func reset(_ id: StreamID, code: UInt64) {  }

    /// Tells the peer that its half is not read any more; bytes held and to come are dropped.
    public mutating func stopSending(_ id: StreamID, code: UInt64) {  }

    /// Shows the readable bytes to `body`, which returns how many it has consumed, and gives credit for them to the peer.
    ///
    /// The bytes are the first in order and contiguous in memory; more may follow when they are consumed, so call it until it
    /// returns 0. Returns how many bytes were consumed.
    @discardableResult
    public mutating func withReadable(_ id: StreamID, _ body: (RawSpan) -> Int) -> Int { 0 }

    /// How many bytes can be read now.
    public func readableCount(_ id: StreamID) -> Int { 0 }

    /// What the peer's half has come to.
    public func readState(_ id: StreamID) -> ReadState { .unknown }

    /// How many bytes of ours the peer has not acknowledged yet, unsent ones included.
    public func unacknowledgedCount(_ id: StreamID) -> Int { 0 }

    // MARK: Datagrams

    /// Queues a datagram of at most 65,507 bytes, split as needed; false if it is too long or the queue is full.
    ///
    /// It is sent once, in the order of the calls, beside stream data.
    public mutating func sendDatagram(flow: UInt64, _ bytes: RawSpan) -> Bool { false }

    // MARK: Events

    /// The next event, or nil. Events are bounded: at most a few for each stream and leg, datagrams up to their budget.
    public mutating func nextEvent() -> Event? { nil }

    /// Bytes of memory held for buffers and tables, for accounting.
    public var memoryUse: Int { 0 }
}

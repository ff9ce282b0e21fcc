internal import Link
public import Transport
public import Wire

/// The control messages of one link, both ways, over the link's control connection (protocol.md, section 8).
///
/// It does no I/O and reads no clock: packets, calls and times go in; actions, packets and deadlines come out. No call
/// runs a completion: its results come from `nextAction`. The owner must call that until it returns nil, after
/// `receive`, `deadlineReached` and `advance`, and after any call that begins, answers or refuses a message. Times must
/// not run backwards.
public struct MessageExchange: ~Copyable {
    /// The one leg of a control connection.
    public static let leg = LegID(0)
    /// The longest answer in bytes that `AnswerMemory` does not count.
    public static let uncountedAnswer = 64 << 10
    /// Messages whose answers may have this many bytes are answered one after the other.
    ///
    /// Such an answer takes work to make.
    public static let largeAnswer = 660_000

    /// The state of the exchange.
    enum State {
        /// Messages are sent and received.
        case open
        /// CLOSE is sent; the peer has not acknowledged it yet.
        case closing
        /// Nothing is accepted or begun any more.
        case over
    }

    let kinds: MessageTable
    let limits: Limits
    var state = State.open
    var connection: Connection
    var requests: [StreamID: Request] = [:]
    var incoming = IncomingMessages()
    /// The peer's message with a large answer that is under way; others wait until it is done.
    var large: StreamID?
    var destroyQueue = DestroyQueue()
    var bucket: TokenBucket
    var actions = ActionQueue()

    /// When the first message of either side times out, or earlier; nil while there is none.
    public internal(set) var nextExpiry: Instant?

    /// An exchange of the messages `kinds` with the peer; `payloadSize` is that of the link's packets, in bytes.
    ///
    /// `seed` is for the connection, and must be unknown to the peer.
    public init(
        role: ConnectionRole, connection configuration: ConnectionConfiguration, payloadSize: Int, seed: UInt64,
        kinds: MessageTable,
        limits: Limits, now: Instant
    ) {
        self.kinds = kinds
        self.limits = limits
        connection = Connection(role: role, configuration: configuration, seed: seed)
        connection.addLeg(Self.leg, payloadSize: payloadSize, now: now)
        bucket = TokenBucket(perSecond: limits.rate.rate, burst: limits.rate.burst, now: now)
    }

    /// Bytes of memory that the connection and the messages hold, for accounting.
    ///
    /// Answers of more than `uncountedAnswer` bytes are counted by `AnswerMemory` alone, where a peer that reads is not
    /// disturbed. Counted here too, they would make it the link with the most.
    public var memoryUse: Int {
        connection.memoryUse + destroyQueue.memoryUse + incoming.all.reduce(0) { $0 + $1.value.memoryUse }
            + requests.values.reduce(0) { $0 + $1.bytes.count + $1.answer.count }
    }

    /// Whether no message of either side is under way.
    public var isQuiet: Bool { requests.isEmpty && incoming.isEmpty }

    /// How many messages of this end are under way.
    public var requestCount: Int { requests.count }

    /// How many messages of the peer are under way.
    public var incomingCount: Int { incoming.count }

    // MARK: The end

    /// Sends CLOSE, and forgets all other messages: those of `begin` end without an action.
    ///
    /// Nothing can be begun any more. `isCloseAcknowledged` says when the peer has acknowledged it.
    public mutating func close(now: Instant, timeout: TimeSpan) {
        switch state {
        case .open:
            let kind = LinkMessage.close.kind
            forgetMessages()
            _ = start(kind, [], .closes, deadline: now + timeout)
            state = .closing
        case .closing, .over: break
        }
    }

    /// Whether CLOSE is acknowledged, refused or timed out, or could not be sent.
    public var isCloseAcknowledged: Bool {
        switch state {
        case .open: false
        case .closing, .over: requests.isEmpty
        }
    }

    /// Forgets all messages, since the link is gone: those of `begin` end without an action, and no action follows.
    ///
    /// Returns the streams of answers of more than `uncountedAnswer` bytes whose end was not reported yet.
    public mutating func end() -> [StreamID] {
        forgetMessages()
        requests = [:]
        state = .over
        var ended: [StreamID] = []
        while let action = actions.next() {
            switch action {
            case .answerEnded(let stream): ended.append(stream)
            case .received, .rekey, .answered, .answerMoved, .refused, .pathResponse, .closed, .violated: break
            }
        }
        return ended
    }

    // MARK: Both

    /// Appends the readable bytes of a stream; false if they would be more than `limit` in all.
    mutating func read(_ stream: StreamID, into bytes: inout [UInt8], limit: Int) -> Bool {
        var isTooLong = false
        while !isTooLong {
            let count = connection.withReadable(stream) { span in
                guard span.byteCount <= limit - bytes.count else {
                    isTooLong = true
                    return 0
                }
                bytes.append(contentsOf: [UInt8](copying: span))
                return span.byteCount
            }
            if count == 0 { break }
        }
        return !isTooLong
    }

    /// Forgets all messages but CLOSE.
    private mutating func forgetMessages() {
        for (stream, request) in requests {
            switch request.purpose {
            case .asked, .destroys: requests[stream] = nil
            case .closes: break
            }
        }
        for stream in incoming.all.map(\.key) { forget(stream) }
        destroyQueue = DestroyQueue()
        actions.forgetMessages()
    }

    mutating func expires(at moment: Instant) { nextExpiry = min(nextExpiry ?? moment, moment) }

    // MARK: Time and packets

    /// Ends messages that have timed out; to be called at `nextExpiry`, and regularly.
    ///
    /// True if there may be actions: the owner must then call `nextAction`.
    public mutating func advance(now: Instant) -> Bool {
        guard let expiry = nextExpiry, now >= expiry else { return destroyQueue.count > 0 }
        nextExpiry = nil
        for (stream, request) in requests {
            if now >= request.deadline {
                end(stream, .failure(.timedOut), now: now)
            } else {
                expires(at: request.deadline)
            }
        }
        for (stream, message) in incoming.all {
            if now >= message.deadline { dropRefused(stream) } else { expires(at: message.deadline) }
        }
        return true
    }

    /// When the connection next has work to do without an event; nil if it has none.
    public var nextDeadline: Instant? { connection.nextDeadline }

    /// Does the work of the connection that is due at `nextDeadline`.
    public mutating func deadlineReached(now: Instant) { connection.deadlineReached(now: now) }

    /// Handles the payload of a packet, which must be authentic and not a duplicate.
    public mutating func receive(packetNumber: UInt64, _ payload: RawSpan, now: Instant) {
        _ = connection.receive(leg: Self.leg, packetNumber: packetNumber, payload: payload, now: now)
    }

    /// Whether there is a packet to send.
    public func wantsToSend(now: Instant) -> Bool { connection.wantsToSend(leg: Self.leg, now: now) }

    /// How many packet numbers to skip before the next packet.
    public mutating func numbersToSkip() -> UInt64 { connection.numbersToSkip() }

    /// Writes the next packet; returns whether there was one, and whether the peer will acknowledge it.
    public mutating func writePacket(
        number: UInt64, into payload: inout MutableRawSpan, now: Instant
    ) -> (isFilled: Bool, wantsAnswer: Bool) {
        let before = connection.legStatus(Self.leg)?.bytesInFlight ?? 0
        let isFilled = connection.writePacket(leg: Self.leg, packetNumber: number, into: &payload, now: now)
        let after = connection.legStatus(Self.leg)?.bytesInFlight ?? 0
        return (isFilled, after > before)
    }

    /// Makes the peer send an acknowledgement.
    public mutating func ping() { connection.ping(Self.leg) }

    /// Asks the peer to echo `data` in its next packet.
    public mutating func challenge(_ data: UInt64) { connection.challenge(Self.leg, data: data) }

    /// The smoothed round-trip time; nil before its first sample.
    public var roundTrip: TimeSpan? {
        guard let status = connection.legStatus(Self.leg), status.everAcknowledged else { return nil }
        return status.smoothedRTT
    }

    /// Whether the peer has acknowledged a packet that was sent at `moment` or later.
    public func hasAnswered(since moment: Instant) -> Bool {
        connection.legStatus(Self.leg)?.answeredTime.map { $0 >= moment } ?? false
    }

    /// The next action for the owner; nil when none is left.
    ///
    /// `admits` is called once for each message that the peer begins, if the exchange's own limits allow it. It must
    /// not call back.
    public mutating func nextAction(now: Instant, admits: () -> Bool) -> Action? {
        while true {
            if let action = actions.next() { return action }
            if let event = connection.nextEvent() {
                take(event, now, admits)
            } else if !handQueued(now) {
                sendDestroys(now)
                return nil
            }
        }
    }

    private mutating func take(_ event: ConnectionEvent, _ now: Instant, _ admits: () -> Bool) {
        switch event {
        case .streamOpened(let stream): opened(stream, now, admits)
        case .readable(let stream):
            if requests[stream] != nil {
                readAnswer(stream, now: now)
            } else if incoming[stream] != nil {
                readMessage(stream, now: now)
            } else {
                // Bytes of a message that was refused or answered already.
                connection.stopSending(stream, code: 0)
            }
        case .writable(let stream):
            writeRequest(stream)
            writeAnswer(stream, now: now)
        case .reset(let stream, _), .stopSending(let stream, _):
            end(stream, .failure(.refused), now: now)
            if incoming[stream] != nil { drop(stream) }
        case .streamClosed(let stream):
            end(stream, .failure(.refused), now: now)
            forget(stream)
        case .pathResponse(_, let data): actions.append(.pathResponse(data))
        case .closed:
            state = .over
            actions.append(.violated)
        case .finished, .streamsAvailable, .datagram, .legValidated, .legSuspect, .legActivated, .legClosed,
            .pathChallenge:
            break
        }
    }
}

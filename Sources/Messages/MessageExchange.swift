internal import Link
public import Transport
public import Wire

/// The control messages of one link, both ways, over the link's control connection (protocol.md, section 8).
///
/// It does no I/O and reads no clock: packets, calls and times go in; actions, packets and deadlines come out. No call runs a
/// completion: what a call causes is told by `nextAction`, which the owner calls until it returns nil, after `receive`, after
/// `deadlineReached`, after `advance` and after any call that begins, answers or refuses a message. Times must not run backwards.
public struct MessageExchange: ~Copyable {
    /// The one leg of a control connection.
    public static let leg = LegID(0)
    /// The longest answer in bytes that does not count in `AnswerMemory`.
    public static let uncountedAnswer = 64 << 10
    /// The longest answer in bytes from which messages are answered one after the other: it takes work to make.
    public static let largeAnswer = 660_000

    /// What the exchange does.
    private enum State {
        /// Messages come and go.
        case open
        /// CLOSE is sent; the peer has not acknowledged it yet.
        case closing
        /// Nothing is taken or begun any more.
        case over
    }

    /// A message of ours.
    private struct Request {
        /// Who hears of its end.
        enum Purpose {
            /// The caller of `begin`.
            case asked
            /// The line of DESTROYs.
            case destroys(DestroyLine.Entry)
            /// Nobody: it is CLOSE.
            case closes
        }
        let kind: MessageKind
        let purpose: Purpose
        let deadline: Instant
        /// Type and body, and how much of it is written.
        let bytes: [UInt8]
        var sent = 0
        var answer: [UInt8] = []
    }

    /// A message of the peer's.
    private struct Incoming {
        enum Phase {
            /// Its bytes come in; the kind is known from the first one on.
            case arriving(MessageKind?)
            /// Waits for the link's large message before it.
            case queued(MessageKind)
            /// Waits for the answer.
            case waiting
            /// A part of its bytes is written as the answer, as far as `sent`.
            case answering(part: Range<Int>, sent: Int)
        }
        var phase = Phase.arriving(nil)
        /// The body until it is handed over, then the bytes that the answer is part of.
        var bytes: [UInt8] = []
        var deadline: Instant
    }

    private let kinds: MessageTable
    private let limits: Limits
    private var state = State.open
    var connection: Connection
    private var requests: [StreamID: Request] = [:]
    private var incoming: [StreamID: Incoming] = [:]
    /// The peer's message with a large answer that is being answered; others wait until it is done.
    private var large: StreamID?
    private var line = DestroyLine()
    private var bucket: TokenBucket
    private var actions = ActionQueue()

    /// When a message of either side ends for lack of time, or earlier; nil as long as there is none.
    public private(set) var nextExpiry: Instant?

    /// An exchange of the messages `kinds` with the peer; `payloadSize` is that of the link's packets.
    ///
    /// `seed` is the connection's, and must not be known to the peer.
    public init(
        role: Role, connection configuration: Configuration, payloadSize: Int, seed: UInt64, kinds: MessageTable,
        limits: Limits, now: Instant
    ) {
        self.kinds = kinds
        self.limits = limits
        connection = Connection(role: role, configuration: configuration, seed: seed)
        connection.addLeg(Self.leg, payloadSize: payloadSize, now: now)
        bucket = TokenBucket(rate: limits.rate.rate, burst: limits.rate.burst, now: now)
    }

    /// Bytes of memory that the connection and the messages hold, for accounting.
    public var memoryUse: Int {
        connection.memoryUse + line.memoryUse + incoming.values.reduce(0) { $0 + $1.bytes.count }
            + requests.values.reduce(0) { $0 + $1.bytes.count + $1.answer.count }
    }

    /// Whether no message of either side is under way.
    public var isQuiet: Bool { requests.isEmpty && incoming.isEmpty }

    /// How many messages of ours are under way.
    public var requestCount: Int { requests.count }

    /// How many messages of the peer's are under way.
    public var incomingCount: Int { incoming.count }

    // MARK: Our messages

    /// Begins a message, which ends with the action `answered`; nil when there are as many as there may be, the body is too long,
    /// or the exchange is closing.
    public mutating func begin(_ kind: MessageKind, body: [UInt8], timeout: TimeSpan, now: Instant) -> StreamID? {
        start(kind, body, .asked, deadline: now + timeout)
    }

    /// Lets the peer hear of the end of the path that it knows as `pathID`.
    ///
    /// It waits its turn where there are too many messages, and is sent again when the peer refuses it.
    public mutating func destroy(_ pathID: UInt64, now: Instant) {
        switch state {
        case .open:
            line.add(pathID, limit: limits.destroys)
            sendDestroys(now)
        case .closing, .over: break
        }
    }

    /// Sends CLOSE, and forgets all other messages: those of `begin` end without an action.
    ///
    /// Nothing can be begun any more. The peer has acknowledged it when `isCloseAcknowledged`.
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

    /// Whether CLOSE was sent and is acknowledged, refused, or could not be sent.
    public var isCloseAcknowledged: Bool {
        switch state {
        case .open: false
        case .closing, .over: requests.isEmpty
        }
    }

    /// Forgets all messages, as the link is gone: those of `begin` end without an action, and no action follows.
    ///
    /// Returns the streams of the answers of more than `uncountedAnswer` bytes whose end was not told yet.
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

    private mutating func start(
        _ kind: MessageKind, _ body: [UInt8], _ purpose: Request.Purpose, deadline: Instant
    ) -> StreamID? {
        switch state {
        case .open: break
        case .closing, .over: return nil
        }
        guard requests.count < limits.requests, body.count <= kind.longestBody,
            let stream = try? connection.openStream()
        else { return nil }
        requests[stream] = Request(kind: kind, purpose: purpose, deadline: deadline, bytes: [kind.raw] + body)
        expires(at: deadline)
        writeRequest(stream)
        return stream
    }

    /// Writes what the connection takes of a message of ours.
    private mutating func writeRequest(_ stream: StreamID) {
        guard var request = requests[stream], request.sent < request.bytes.count else { return }
        request.sent += connection.write(stream, request.bytes.rawSpan.extracting(request.sent..<request.bytes.count))
        if request.sent == request.bytes.count { connection.finish(stream) }
        requests[stream] = request
    }

    /// Ends a message of ours.
    private mutating func end(_ stream: StreamID, _ result: Result<[UInt8], ControlFailure>, now: Instant) {
        guard let request = requests.removeValue(forKey: stream) else { return }
        var isRefused = false
        if case .failure = result {
            isRefused = true
            connection.reset(stream, code: 0)
            connection.stopSending(stream, code: 0)
        }
        switch request.purpose {
        case .asked: actions.append(.answered(stream, result))
        case .destroys(let entry):
            line.ended(entry, wasSent: true)
            if isRefused { line.addAgain(entry, at: now) }
        case .closes: break
        }
    }

    /// Sends the DESTROYs that wait, as far as there is room: half of what may be under way is left to other messages.
    private mutating func sendDestroys(_ now: Instant) {
        switch state {
        case .open: break
        case .closing, .over: return
        }
        while let next = line.next(at: now, limit: limits.requests / 2) {
            let stream = start(
                PathMessage.destroy.kind, DestroyMessage(pathID: next.pathID).encoded, .destroys(next),
                deadline: now + Self.destroyTime)
            guard stream != nil else { return line.ended(next, wasSent: false) }
        }
    }

    /// How long a DESTROY may take.
    private static let destroyTime = TimeSpan.seconds(10)

    private mutating func readAnswer(_ stream: StreamID, now: Instant) {
        guard var request = requests.removeValue(forKey: stream) else { return }
        let isShort = read(stream, into: &request.answer, limit: request.kind.longestAnswer)
        let answer = request.answer
        requests[stream] = request
        guard isShort else { return end(stream, .failure(.refused), now: now) }
        switch connection.readState(stream) {
        case .open: break
        case .finished, .unknown: end(stream, .success(answer), now: now)
        case .reset: end(stream, .failure(.refused), now: now)
        }
    }

    // MARK: The peer's messages

    /// Whether a message waits for its answer.
    public func isWaiting(_ stream: StreamID) -> Bool {
        switch incoming[stream]?.phase {
        case .waiting: true
        case .arriving, .queued, .answering, nil: false
        }
    }

    /// Whether a message is under way, or the peer has not acknowledged all of the answer.
    public func isAnswering(_ stream: StreamID) -> Bool {
        switch state {
        case .open: incoming[stream] != nil || connection.unacknowledgedCount(stream) > 0
        case .closing, .over: false
        }
    }

    /// Answers a message that waits with a part of `bytes`, which is not copied; does nothing for any other.
    ///
    /// An answer of more than `uncountedAnswer` bytes ends with the action `answerEnded`.
    public mutating func answer(_ stream: StreamID, _ bytes: [UInt8], part: Range<Int>, now: Instant) {
        guard var message = incoming[stream] else { return }
        switch message.phase {
        case .waiting:
            message.phase = .answering(part: part, sent: part.lowerBound)
            message.bytes = bytes
            message.deadline = now + limits.arrivalTime
            incoming[stream] = message
            expires(at: message.deadline)
            writeAnswer(stream, now: now)
        case .arriving, .queued, .answering: break
        }
    }

    /// Refuses a message that waits; does nothing for any other.
    public mutating func refuse(_ stream: StreamID) { if isWaiting(stream) { drop(stream) } }

    /// Ends a message wherever it stands, and what the peer has not acknowledged of its answer.
    public mutating func abandon(_ stream: StreamID) { drop(stream) }

    /// Writes what the connection takes of an answer.
    private mutating func writeAnswer(_ stream: StreamID, now: Instant) {
        guard var message = incoming[stream] else { return }
        switch message.phase {
        case .arriving, .queued, .waiting: break
        case .answering(let part, let before):
            var sent = before
            if sent < part.upperBound {
                sent += connection.write(stream, message.bytes.rawSpan.extracting(sent..<part.upperBound))
            }
            if sent == part.upperBound {
                connection.finish(stream)
                return forget(stream)
            }
            guard sent > before else { return }
            message.phase = .answering(part: part, sent: sent)
            message.deadline = now + limits.arrivalTime
            incoming[stream] = message
            if part.count > Self.uncountedAnswer {
                actions.append(.answerMoved(stream, sent: sent - part.lowerBound))
            }
        }
    }

    /// Forgets a message of the peer's.
    private mutating func forget(_ stream: StreamID) {
        guard let message = incoming.removeValue(forKey: stream) else { return }
        if large == stream { large = nil }
        switch message.phase {
        case .answering(let part, _): if part.count > Self.uncountedAnswer { actions.append(.answerEnded(stream)) }
        case .arriving, .queued, .waiting: break
        }
    }

    /// Forgets a message and resets its stream.
    private mutating func drop(_ stream: StreamID) {
        forget(stream)
        connection.reset(stream, code: 0)
        connection.stopSending(stream, code: 0)
    }

    /// Drops a message that is against the rules, which counts.
    private mutating func dropRefused(_ stream: StreamID) {
        drop(stream)
        actions.append(.refused)
    }

    private mutating func opened(_ stream: StreamID, _ now: Instant, _ admits: () -> Bool) {
        switch state {
        case .open:
            guard incoming.count < limits.incoming, bucket.take(now: now), admits() else { return dropRefused(stream) }
            incoming[stream] = Incoming(deadline: now + limits.arrivalTime)
            expires(at: now + limits.arrivalTime)
        case .closing, .over: dropRefused(stream)
        }
    }

    private mutating func readMessage(_ stream: StreamID, now: Instant) {
        guard var message = incoming[stream] else { return }
        switch message.phase {
        case .queued, .waiting, .answering:
            // Nothing may follow what is whole.
            connection.stopSending(stream, code: 0)
        case .arriving(var kind):
            // Taken out of the table meanwhile, so that the bytes grow where they are.
            incoming[stream] = nil
            var bytes = message.bytes
            message.bytes = []
            guard readMessage(stream, &kind, into: &bytes) else { return dropRefused(stream) }
            message.bytes = bytes
            message.phase = .arriving(kind)
            incoming[stream] = message
            guard unfinishedBytes <= limits.unfinishedBytes else { return dropRefused(stream) }
            switch connection.readState(stream) {
            case .open: break
            case .finished, .unknown:
                guard let kind else { return dropRefused(stream) }
                arrived(stream, kind, bytes, now)
            case .reset: dropRefused(stream)
            }
        }
    }

    /// Appends what can be read of a message's body; false when the kind is not known, or does not allow for so much.
    private mutating func readMessage(
        _ stream: StreamID, _ kind: inout MessageKind?, into bytes: inout [UInt8]
    ) -> Bool {
        let kinds = kinds
        var known = kind
        if known == nil {
            let taken = connection.withReadable(stream) { span in
                var reader = ByteReader(span)
                guard let raw = try? reader.u8() else { return 0 }
                known = kinds[raw]
                return 1
            }
            guard let known else { return taken == 0 }
            kind = known
        }
        guard let known else { return true }
        return read(stream, into: &bytes, limit: known.longestBody)
    }

    /// Bytes that messages hold until they are handed over.
    private var unfinishedBytes: Int {
        incoming.values.reduce(0) { sum, message in
            switch message.phase {
            case .arriving, .queued: sum + message.bytes.count
            case .waiting, .answering: sum
            }
        }
    }

    /// A message has come whole: hands it over, or lets it wait for the large one before it.
    private mutating func arrived(_ stream: StreamID, _ kind: MessageKind, _ body: [UInt8], _ now: Instant) {
        guard var message = incoming[stream] else { return }
        message.deadline = now + limits.answerTime
        expires(at: message.deadline)
        let isLarge = kind.longestAnswer >= Self.largeAnswer
        if isLarge, large != nil {
            message.phase = .queued(kind)
            incoming[stream] = message
            return
        }
        if isLarge { large = stream }
        message.phase = .waiting
        message.bytes = []
        incoming[stream] = message
        switch LinkMessage(rawValue: kind.raw) {
        case .rekey: actions.append(.rekey(body: body, stream))
        case .close:
            // Acknowledged, so that the peer does not repeat it to an end that has forgotten the link.
            answer(stream, [], part: 0..<0, now: now)
            actions.append(.closed)
            state = .over
        case nil: actions.append(.received(kind, body: body, stream))
        }
    }

    /// Hands over the first message that waited for a large one and need not any more; false where there is none.
    private mutating func handQueued(_ now: Instant) -> Bool {
        guard large == nil else { return false }
        var next: (stream: StreamID, kind: MessageKind, body: [UInt8])?
        for (stream, message) in incoming {
            switch message.phase {
            case .queued(let kind):
                if next.map({ stream.value < $0.stream.value }) ?? true { next = (stream, kind, message.bytes) }
            case .arriving, .waiting, .answering: break
            }
        }
        guard let next else { return false }
        arrived(next.stream, next.kind, next.body, now)
        return true
    }

    // MARK: Both

    /// Appends what can be read of a stream; false when that would be more than `limit` in all.
    private mutating func read(_ stream: StreamID, into bytes: inout [UInt8], limit: Int) -> Bool {
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
        for stream in Array(incoming.keys) { forget(stream) }
        line = DestroyLine()
        actions.forgetMessages()
    }

    private mutating func expires(at moment: Instant) { nextExpiry = min(nextExpiry ?? moment, moment) }

    // MARK: Time and packets

    /// Ends what has taken too long: to be called at `nextExpiry`, and now and then.
    ///
    /// True when there may be actions: then `nextAction` is to be called.
    public mutating func advance(now: Instant) -> Bool {
        guard let expiry = nextExpiry, now >= expiry else { return line.count > 0 }
        nextExpiry = nil
        for (stream, request) in requests {
            if now >= request.deadline {
                end(stream, .failure(.timedOut), now: now)
            } else {
                expires(at: request.deadline)
            }
        }
        for (stream, message) in incoming {
            if now >= message.deadline { dropRefused(stream) } else { expires(at: message.deadline) }
        }
        return true
    }

    /// When the connection has to send something by itself; nil as long as it need not.
    public var nextDeadline: Instant? { connection.nextDeadline }

    /// Lets the connection do what is due at `nextDeadline`.
    public mutating func deadlineReached(now: Instant) { connection.deadlineReached(now: now) }

    /// Takes the payload of a packet that has come, authentic and not before.
    public mutating func receive(packetNumber: UInt64, _ payload: RawSpan, now: Instant) {
        _ = connection.receive(leg: Self.leg, packetNumber: packetNumber, payload: payload, now: now)
    }

    /// Whether there is a packet to send.
    public func wantsToSend(now: Instant) -> Bool { connection.wantsToSend(leg: Self.leg, now: now) }

    /// How many packet numbers to leave out before the next packet.
    public mutating func numbersToSkip() -> UInt64 { connection.numbersToSkip() }

    /// Writes the next packet: whether there was one, and whether the peer will acknowledge it.
    public mutating func writePacket(
        number: UInt64, into payload: inout MutableRawSpan, now: Instant
    ) -> (isFilled: Bool, wantsAnswer: Bool) {
        let before = connection.legStatus(Self.leg)?.bytesInFlight ?? 0
        let isFilled = connection.writePacket(leg: Self.leg, packetNumber: number, into: &payload, now: now)
        let after = connection.legStatus(Self.leg)?.bytesInFlight ?? 0
        return (isFilled, after > before)
    }

    /// Lets the peer acknowledge something.
    public mutating func ping() { connection.ping(Self.leg) }

    /// Asks the peer to echo `data` in its next packet.
    public mutating func challenge(_ data: UInt64) { connection.challenge(Self.leg, data: data) }

    /// The smoothed round-trip time; nil before its first sample.
    public var roundTrip: TimeSpan? {
        guard let status = connection.legStatus(Self.leg), status.everAcknowledged else { return nil }
        return status.smoothedRTT
    }

    /// What the owner has to do next; nil when nothing is left.
    ///
    /// `admits` is asked once for each message that the peer begins, when the exchange's own limits allow for it. It must not
    /// call back.
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

    private mutating func take(_ event: Event, _ now: Instant, _ admits: () -> Bool) {
        switch event {
        case .streamOpened(let stream): opened(stream, now, admits)
        case .readable(let stream):
            if requests[stream] != nil {
                readAnswer(stream, now: now)
            } else if incoming[stream] != nil {
                readMessage(stream, now: now)
            } else {
                // Bytes for what was refused or answered already.
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

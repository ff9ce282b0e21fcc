internal import EventLoop
internal import Link
internal import OnionCrypto
internal import Transport
internal import Wire

/// What a link has beside the state that packets touch: its control connection, messages under way, and its life.
///
/// Belongs to `Links`, which does all that needs a socket or the table.
final class ControlLink {
    static let leg = LegID(0)
    /// The longest answer in bytes from which a link's messages are answered one after the other, for it takes work to make.
    static let largeAnswer = 660_000

    /// A message of ours.
    struct Request {
        var unsent: [UInt8]
        var sent = 0
        let message: MessageKind
        var answer: [UInt8] = []
        let deadline: Instant
        var reply: ((Result<[UInt8], ControlFailure>) -> Void)?
    }

    /// A message of the peer's.
    struct Incoming {
        enum Phase {
            case arriving
            /// Waits for the link's large message before it.
            case queued
            /// Waits for the handler's answer.
            case waiting
            case answering
        }
        var phase = Phase.arriving
        /// Type and body until they are handed over, then the bytes that the answer is part of.
        var bytes: [UInt8] = []
        /// How far the answer has been written, and where it ends in `bytes`.
        var sent = 0
        var end = 0
        var deadline: Instant
    }

    let id: LinkID
    let peer: LinkPeer
    let isInitiator: Bool
    /// When the handshake was done.
    let since: Instant
    /// The node's wall clock at that time; nil for a client.
    let peerTime: UnixTime?
    /// The control connection.
    var connection: Connection
    var requests: [StreamID: Request] = [:]
    private(set) var incoming: [StreamID: Incoming] = [:]
    /// The peer's message with a large answer that is being answered; others wait until it is done.
    private(set) var large: StreamID?
    private let answers: AnswerMemory
    /// DESTROYs that wait until others have been answered.
    var line = DestroyLine()
    var idle: IdleTimer
    var address: PeerAddress
    var bucket: TokenBucket
    /// What messages that have not come whole may hold.
    let messageMemory: Int
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
        configuration: LinksConfiguration,
        peerTime: UnixTime?, answers: AnswerMemory,
        timer: LoopTimer, now: Instant
    ) {
        self.answers = answers
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
        messageMemory = peer == .client ? configuration.clientMessageMemory : configuration.nodeMessageMemory
        connection = Connection(
            role: isInitiator ? .initiator : .responder, configuration: limits, seed: SecureRandom.u64())
        connection.addLeg(
            Self.leg, payloadSize: configuration.network.packetSize - Packet.payloadOffset, now: now)
        // A client's own link to its guard is idle by a client's measure as well.
        let isClients = peer == .client || ownerIsClient
        idle = IdleTimer(limit: isClients ? configuration.clientIdle : configuration.nodeIdle, now: now)
        self.address = PeerAddress(address, mayMove: peer == .client)
        let rate = peer == .client ? configuration.clientMessages : configuration.nodeMessages
        bucket = TokenBucket(rate: rate.rate, burst: rate.burst, now: now)
    }

    /// Whether messages may come and go.
    var isOpen: Bool { !isGone && closingUntil == nil }

    /// Bytes of memory that its connection and messages hold, for accounting.
    var memoryUse: Int {
        let incoming = incoming.values.reduce(0) { $0 + $1.bytes.count }
        return connection.memoryUse + incoming + line.memoryUse
            + requests.values.reduce(0) { $0 + $1.unsent.count + $1.answer.count }
    }

    // MARK: Requests

    /// Begins a message; false when there are too many or the connection takes no stream.
    func begin(
        _ message: MessageKind, body: [UInt8], deadline: Instant, limit: Int,
        reply: ((Result<[UInt8], ControlFailure>) -> Void)?
    ) -> Bool {
        guard requests.count < limit, body.count <= message.longestBody,
            let stream = try? connection.openStream()
        else { return false }
        requests[stream] = Request(
            unsent: [message.raw] + body, message: message, deadline: deadline, reply: reply)
        writeRequest(stream)
        return true
    }

    /// Writes what the connection takes of a message of ours.
    func writeRequest(_ stream: StreamID) {
        guard var request = requests[stream], request.sent < request.unsent.count else { return }
        request.sent += connection.write(stream, request.unsent.rawSpan.extracting(request.sent..<request.unsent.count))
        if request.sent == request.unsent.count { connection.finish(stream) }
        requests[stream]!.sent = request.sent
    }

    /// Ends a message of ours.
    func end(_ stream: StreamID, _ result: Result<[UInt8], ControlFailure>) {
        guard let request = requests.removeValue(forKey: stream) else { return }
        if case .failure = result {
            connection.reset(stream, code: 0)
            connection.stopSending(stream, code: 0)
        }
        request.reply?(result)
    }

    // MARK: Incoming messages

    /// Begins to take a message.
    func beginIncoming(_ stream: StreamID, deadline: Instant) { incoming[stream] = Incoming(deadline: deadline) }

    /// Takes the bytes of a message that arrives, so that they can grow without a copy; `put` gives them back.
    func takeBytes(_ stream: StreamID) -> [UInt8] {
        guard let message = incoming[stream] else { return [] }
        incoming[stream]!.bytes = []
        return message.bytes
    }

    /// Gives back what `takeBytes` took.
    func put(_ bytes: [UInt8], _ stream: StreamID) { incoming[stream]?.bytes = bytes }

    /// Lets a message that has come whole wait for its answer; false when it has to wait for a large one before it first.
    func hand(_ stream: StreamID, isLarge: Bool, deadline: Instant) -> Bool {
        guard incoming[stream] != nil else { return false }
        incoming[stream]!.deadline = deadline
        if isLarge, large != nil {
            incoming[stream]!.phase = .queued
            return false
        }
        if isLarge { large = stream }
        incoming[stream]!.phase = .waiting
        return true
    }

    /// The next message that waited for a large one and need not any more, with its type and body.
    func nextQueued() -> (stream: StreamID, bytes: [UInt8])? {
        guard large == nil else { return nil }
        let waiting = incoming.lazy.filter { $0.value.phase == .queued }
        guard let next = waiting.min(by: { $0.key.value < $1.key.value }) else { return nil }
        return (next.key, next.value.bytes)
    }

    /// Starts to answer a message with a part of `bytes`.
    func answer(_ stream: StreamID, _ bytes: [UInt8], part: Range<Int>, now: Instant, limit: TimeSpan) {
        guard var message = incoming[stream], message.phase == .waiting else { return }
        message.phase = .answering
        message.bytes = bytes
        message.sent = part.lowerBound
        message.end = part.upperBound
        message.deadline = now + limit
        incoming[stream] = message
        writeAnswer(stream, now: now)
    }

    /// Writes what the connection takes of an answer.
    func writeAnswer(_ stream: StreamID, now: Instant) {
        guard let message = incoming[stream], message.phase == .answering else { return }
        var sent = message.sent
        if sent < message.end {
            sent += connection.write(stream, message.bytes.rawSpan.extracting(sent..<message.end))
            answers.moved(responder(stream), sent: sent, now: now)
        }
        if sent == message.end {
            connection.finish(stream)
            endIncoming(stream)
        } else {
            incoming[stream]!.sent = sent
        }
    }

    /// Lets a message have until `deadline`.
    func extend(_ stream: StreamID, to deadline: Instant) { incoming[stream]?.deadline = deadline }

    /// Forgets a message of the peer's.
    func endIncoming(_ stream: StreamID) {
        guard incoming.removeValue(forKey: stream) != nil else { return }
        if large == stream { large = nil }
        answers.release(responder(stream))
    }

    /// Forgets all messages of the peer's.
    func endAllIncoming() { for stream in Array(incoming.keys) { endIncoming(stream) } }

    private func responder(_ stream: StreamID) -> ControlResponder { ControlResponder(link: id, stream: stream.value) }

    /// Bytes that messages hold until they are handed over.
    var messageBytes: Int {
        incoming.values.reduce(0) { $0 + ($1.phase == .arriving || $1.phase == .queued ? $1.bytes.count : 0) }
    }

    /// Refuses a message: resets its stream.
    func refuse(_ stream: StreamID) {
        endIncoming(stream)
        connection.reset(stream, code: 0)
        connection.stopSending(stream, code: 0)
    }

    /// Appends what can be read of a stream to `bytes`; false when that would be more than `limit`.
    func read(_ stream: StreamID, into bytes: inout [UInt8], limit: Int) -> Bool {
        var isTooLong = false
        while !isTooLong {
            let count = connection.withReadable(stream) { span in
                guard bytes.count + span.byteCount <= limit else {
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
}

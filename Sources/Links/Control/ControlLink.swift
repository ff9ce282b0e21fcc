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

    /// A message of ours.
    struct Request {
        var unsent: [UInt8]
        var sent = 0
        let message: ControlMessage
        var answer: [UInt8] = []
        let deadline: Instant
        var reply: ((Result<[UInt8], ControlFailure>) -> Void)?
    }

    /// A message of the peer's.
    struct Incoming {
        enum Phase { case arriving, waiting, answering }
        var phase = Phase.arriving
        /// Type and body while they arrive, then the answer that is not written yet.
        var bytes: [UInt8] = []
        var sent = 0
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
    /// DESTROYs that wait until others have been answered.
    var line = DestroyLine()
    var incoming: [StreamID: Incoming] = [:]
    var idle: IdleTimer
    var address: PeerAddress
    var bucket: TokenBucket
    /// What messages that have not come whole may hold.
    let messageMemory: Int
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
        peerTime: UnixTime?,
        timer: LoopTimer, now: Instant
    ) {
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
        _ message: ControlMessage, body: [UInt8], deadline: Instant, limit: Int,
        reply: ((Result<[UInt8], ControlFailure>) -> Void)?
    ) -> Bool {
        guard requests.count < limit, body.count <= message.longestBody,
            let stream = try? connection.openStream()
        else { return false }
        requests[stream] = Request(
            unsent: [message.rawValue] + body, message: message, deadline: deadline, reply: reply)
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

    /// Starts to answer a message.
    func answer(_ stream: StreamID, _ body: [UInt8], deadline: Instant) {
        guard var message = incoming[stream], message.phase == .waiting else { return }
        message.phase = .answering
        message.bytes = body
        message.sent = 0
        message.deadline = deadline
        incoming[stream] = message
        writeAnswer(stream)
    }

    /// Writes what the connection takes of an answer.
    func writeAnswer(_ stream: StreamID) {
        guard let message = incoming[stream], message.phase == .answering else { return }
        var sent = message.sent
        if sent < message.bytes.count {
            sent += connection.write(stream, message.bytes.rawSpan.extracting(sent..<message.bytes.count))
        }
        if sent == message.bytes.count {
            connection.finish(stream)
            incoming[stream] = nil
        } else {
            incoming[stream]!.sent = sent
        }
    }

    /// Bytes that unfinished messages hold.
    var messageBytes: Int { incoming.values.reduce(0) { $0 + ($1.phase == .arriving ? $1.bytes.count : 0) } }
    /// Bytes that unwritten answers hold.
    var answerBytes: Int { incoming.values.reduce(0) { $0 + ($1.phase == .answering ? $1.bytes.count : 0) } }

    /// Refuses a message: resets its stream.
    func refuse(_ stream: StreamID) {
        incoming[stream] = nil
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

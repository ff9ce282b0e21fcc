internal import Link
public import Transport
public import Wire

/// The messages of this end.
extension MessageExchange {
    /// A message of ours.
    struct Request {
        /// Who is told of its end.
        enum Purpose {
            /// The caller of `begin`.
            case asked
            /// The queue of DESTROYs.
            case destroys(DestroyQueue.Entry)
            /// Nobody: it is CLOSE.
            case closes
        }
        let kind: MessageKind
        let purpose: Purpose
        let deadline: Instant
        /// Type and body, and how many of these bytes are written.
        let bytes: [UInt8]
        var sent = 0
        var answer: [UInt8] = []
    }

    /// Begins a message, which ends with the action `answered`.
    ///
    /// Nil if as many messages or streams are under way as are allowed, the body is too long, or the exchange is
    /// closing.
    public mutating func begin(_ kind: MessageKind, body: [UInt8], timeout: TimeSpan, now: Instant) -> StreamID? {
        start(kind, body, .asked, deadline: now + timeout)
    }

    /// Tells the peer that the path that it knows as `pathID` has ended.
    ///
    /// The message waits its turn if too many are under way, and is sent again if the peer refuses it.
    public mutating func destroy(_ pathID: UInt64, now: Instant) {
        switch state {
        case .open:
            destroyQueue.add(pathID, limit: limits.destroys)
            sendDestroys(now)
        case .closing, .over: break
        }
    }

    mutating func start(
        _ kind: MessageKind, _ body: [UInt8], _ purpose: Request.Purpose, deadline: Instant
    ) -> StreamID? {
        switch state {
        case .open: break
        case .closing, .over: return nil
        }
        guard hasRoom(kind.lane), body.count <= kind.longestBody,
            let stream = try? connection.openStream()
        else { return nil }
        requests[stream] = Request(kind: kind, purpose: purpose, deadline: deadline, bytes: [kind.raw] + body)
        expires(at: deadline)
        writeRequest(stream)
        return stream
    }

    private func hasRoom(_ lane: MessageLane) -> Bool {
        let limit = limits.allowance(of: lane).requests
        return requests.count < limit || requests.values.count { $0.kind.lane == lane } < limit
    }

    /// Writes as much of a message of ours as the connection accepts.
    mutating func writeRequest(_ stream: StreamID) {
        guard var request = requests[stream], request.sent < request.bytes.count else { return }
        request.sent += connection.write(stream, request.bytes.rawSpan.extracting(request.sent..<request.bytes.count))
        if request.sent == request.bytes.count { connection.finish(stream) }
        requests[stream] = request
    }

    /// Ends a message of ours.
    mutating func end(_ stream: StreamID, _ result: Result<[UInt8], ControlFailure>, now: Instant) {
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
            destroyQueue.ended(entry, wasSent: true)
            if isRefused { destroyQueue.addAgain(entry, at: now) }
        case .closes: break
        }
    }

    /// Sends waiting DESTROYs as long as there is room; half of the messages under way is left to others.
    mutating func sendDestroys(_ now: Instant) {
        switch state {
        case .open: break
        case .closing, .over: return
        }
        while let next = destroyQueue.next(at: now, limit: limits.requests / 2) {
            let stream = start(
                PathMessage.destroy.kind, DestroyMessage(pathID: next.pathID).encoded, .destroys(next),
                deadline: now + Self.destroyTime)
            guard stream != nil else { return destroyQueue.ended(next, wasSent: false) }
        }
    }

    /// How long a DESTROY may take.
    private static let destroyTime = TimeSpan.seconds(10)

    mutating func readAnswer(_ stream: StreamID, now: Instant) {
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
}

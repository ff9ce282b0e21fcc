internal import Link
public import Transport
public import Wire

/// The messages of the peer.
extension MessageExchange {
    /// A message of the peer.
    struct Incoming {
        enum Phase {
            /// Its bytes arrive; the kind is known from the first byte on.
            case arriving(MessageKind?)
            /// Waits until the link's large answer before it is done.
            case queued(MessageKind)
            /// Waits for our answer.
            case waiting
            /// The part of `bytes` that is the answer is being written; `sent` is where the rest begins.
            case answering(part: Range<Int>, sent: Int)
        }
        var phase = Phase.arriving(nil)
        /// The lane of its kind, the usual one until the kind is known.
        var lane = MessageLane.usual
        /// The body until it is delivered, then the bytes that the answer is part of.
        var bytes: [UInt8] = []
        var deadline: Instant

        /// The bytes that it holds, without an answer that `AnswerMemory` counts.
        var memoryUse: Int {
            switch phase {
            case .answering(let part, _) where part.count > MessageExchange.uncountedAnswer: 0
            case .arriving, .queued, .waiting, .answering: bytes.count
            }
        }
    }

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

    /// Answers a message that waits with a part of `bytes`, which is not copied; has no effect on any other.
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

    /// Refuses a message that waits; has no effect on any other.
    public mutating func refuse(_ stream: StreamID) { if isWaiting(stream) { drop(stream) } }

    /// Ends a message in any phase, and drops the part of its answer that the peer has not acknowledged.
    public mutating func abandon(_ stream: StreamID) { drop(stream) }

    /// Writes as much of an answer as the connection accepts.
    mutating func writeAnswer(_ stream: StreamID, now: Instant) {
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

    /// Forgets a message of the peer.
    mutating func forget(_ stream: StreamID) {
        guard let message = incoming.remove(stream) else { return }
        if large == stream { large = nil }
        switch message.phase {
        case .answering(let part, _): if part.count > Self.uncountedAnswer { actions.append(.answerEnded(stream)) }
        case .arriving, .queued, .waiting: break
        }
    }

    /// Forgets a message and resets its stream.
    mutating func drop(_ stream: StreamID) {
        forget(stream)
        connection.reset(stream, code: 0)
        connection.stopSending(stream, code: 0)
    }

    /// Drops a message that breaks a rule or a limit, and reports that with `refused`.
    mutating func dropRefused(_ stream: StreamID) {
        drop(stream)
        actions.append(.refused)
    }

    mutating func opened(_ stream: StreamID, _ now: Instant, _ admits: () -> Bool) {
        switch state {
        case .open:
            // Its first byte will tell which lane's allowance it counts for.
            guard incoming.count < limits.incomingOfAllLanes, bucket.take(now: now), admits()
            else { return dropRefused(stream) }
            incoming[stream] = Incoming(deadline: now + limits.arrivalTime)
            expires(at: now + limits.arrivalTime)
        case .closing, .over: dropRefused(stream)
        }
    }

    mutating func readMessage(_ stream: StreamID, now: Instant) {
        guard var message = incoming[stream] else { return }
        switch message.phase {
        case .queued, .waiting, .answering:
            // Nothing may follow a whole message.
            connection.stopSending(stream, code: 0)
        case .arriving(var kind):
            // Removed from the table meanwhile, so that the bytes grow in place.
            incoming[stream] = nil
            var bytes = message.bytes
            message.bytes = []
            guard readMessage(stream, &kind, into: &bytes) else { return dropRefused(stream) }
            message.bytes = bytes
            message.phase = .arriving(kind)
            message.lane = kind?.lane ?? .usual
            incoming[stream] = message
            guard isWithinLimits(message.lane) else { return dropRefused(stream) }
            switch connection.readState(stream) {
            case .open: break
            case .finished, .unknown:
                guard let kind else { return dropRefused(stream) }
                arrived(stream, kind, bytes, now)
            case .reset: dropRefused(stream)
            }
        }
    }

    /// Appends the readable bytes of a message's body; false if the kind is unknown, or does not allow so many.
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

    /// Whether the messages of a lane are within their number, and those not yet delivered within their bytes.
    private func isWithinLimits(_ lane: MessageLane) -> Bool {
        let (use, allowance) = (incoming.use(of: lane), limits.allowance(of: lane))
        return use.count <= allowance.incoming && use.unfinishedBytes <= allowance.unfinishedBytes
    }

    /// Delivers a message that has arrived whole, or queues it behind the link's large answer.
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
            // Answered, so that the peer does not repeat CLOSE to an end that has forgotten the link.
            answer(stream, [], part: 0..<0, now: now)
            actions.append(.closed)
            state = .over
        case nil: actions.append(.received(kind, body: body, stream))
        }
    }

    /// Delivers the first queued message if no large answer is under way; false if there is none.
    mutating func handQueued(_ now: Instant) -> Bool {
        guard large == nil, incoming.hasQueued else { return false }
        var next: (stream: StreamID, kind: MessageKind, body: [UInt8])?
        for (stream, message) in incoming.all {
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
}

internal import Transport
internal import Wire

/// The peer's messages under way on a link, and what those of each lane hold.
///
/// A message may arrive in thousands of parts, so a look at the sums takes constant time.
struct IncomingMessages {
    /// What the messages of a lane hold.
    struct Use: Equatable {
        /// Messages whose kind is known.
        var count = 0
        /// Bytes of messages that have not been delivered.
        var unfinishedBytes = 0
        /// Messages that wait until the link's large answer before them is done.
        var queued = 0
    }

    private var messages: [StreamID: MessageExchange.Incoming] = [:]
    private var lanes: [MessageLane: Use] = [:]

    var count: Int { messages.count }
    var isEmpty: Bool { messages.isEmpty }
    /// All messages with their streams, in no order.
    var all: some Collection<(key: StreamID, value: MessageExchange.Incoming)> { messages }

    /// What the messages of `lane` hold.
    func use(of lane: MessageLane) -> Use { lanes[lane] ?? Use() }

    /// Whether a message is queued.
    var hasQueued: Bool { lanes.values.contains { $0.queued > 0 } }

    /// The message of a stream; nil if there is none.
    subscript(stream: StreamID) -> MessageExchange.Incoming? {
        get { messages[stream] }
        set {
            let old = messages[stream]
            if let old { lanes[old.lane, default: Use()].add(old, times: -1) }
            if let newValue { lanes[newValue.lane, default: Use()].add(newValue, times: 1) }
            messages[stream] = newValue
        }
    }

    /// Removes the message of a stream; nil if there is none.
    mutating func remove(_ stream: StreamID) -> MessageExchange.Incoming? {
        let message = messages[stream]
        self[stream] = nil
        return message
    }
}

extension IncomingMessages.Use {
    fileprivate mutating func add(_ message: MessageExchange.Incoming, times: Int) {
        switch message.phase {
        case .arriving(nil): break
        case .arriving: (count, unfinishedBytes) = (count + times, unfinishedBytes + times * message.bytes.count)
        case .queued:
            (count, unfinishedBytes) = (count + times, unfinishedBytes + times * message.bytes.count)
            queued += times
        case .waiting, .answering: count += times
        }
    }
}

internal import Wire

/// A stream's place in the table and the generation of that place, so that a stale reference has no effect.
struct StreamRef: BitwiseCopyable, Equatable {
    var slot: UInt32
    var generation: UInt32
}

/// Where in the queue a stream waits for its turn to send.
enum SendPlace {
    /// After the others.
    case last
    /// Before the others: it continues, or repeats lost data.
    case first
    /// Among the streams that have little to send.
    case short
}

/// One stream: both halves, and the pending signals to the peer and the application.
///
/// It has more members than most types: its place in each queue of the connection, so that no queue allocates.
struct Stream: ~Copyable {
    struct Signals: OptionSet {
        let rawValue: UInt16
        static let opened = Signals(rawValue: 1)
        static let readable = Signals(rawValue: 2)
        static let writable = Signals(rawValue: 4)
        static let finished = Signals(rawValue: 8)
        static let reset = Signals(rawValue: 16)
        static let stopSending = Signals(rawValue: 32)
        static let closed = Signals(rawValue: 64)
    }

    struct Control: OptionSet {
        let rawValue: UInt8
        static let maxStreamData = Control(rawValue: 1)
        static let reset = Control(rawValue: 2)
        static let stopSending = Control(rawValue: 4)
    }

    var id: UInt64
    var generation: UInt32
    var isUsed = true
    var send: SendHalf
    var receive: ReceiveHalf
    /// Events not polled yet.
    var signals: Signals = []
    /// Control frames to be sent.
    var control: Control = []
    var isInSendQueue = false
    /// The bytes that the stream may send before it goes to the end of the queue.
    var quantumLeft = 0
    /// Whether it waits for the connection's credit.
    var isBlocked = false
    var isInEventQueue = false
    var isInControlQueue = false
    /// Whether the application waits for room within the stream's own limits.
    var wantsRoom = false
    /// Whether it waits for room that other streams hold.
    var isInRoomQueue = false
    /// Whether the last write was a large one.
    var isBulk = false
    /// The room promised to the stream.
    var promisedRoom = 0
    var isFinishTold = false
    /// The code of our STOP_SENDING.
    var stopCode: UInt64 = 0
    /// The code of the peer's STOP_SENDING.
    var peerStopCode: UInt64 = 0

    init(id: UInt64, generation: UInt32, sendLimit: UInt64, receiveWindow: UInt64) {
        self.id = id
        self.generation = generation
        send = SendHalf(limit: sendLimit)
        receive = ReceiveHalf(window: receiveWindow)
    }
}

public import Transport
public import Wire

extension MessageExchange {
    /// What the exchange asks of its owner, in the order in which it happened; taken with `nextAction`.
    public enum Action: Equatable, Sendable {
        /// A message of the peer's has come whole: answer it with `answer` or `refuse`. Its body is no longer than its kind allows.
        case received(MessageKind, body: [UInt8], StreamID)
        /// The peer asks for new keys: answer it with `answer` or `refuse`.
        case rekey(body: [UInt8], StreamID)
        /// A message of ours has ended; told once for each that `begin` has begun.
        case answered(StreamID, Result<[UInt8], ControlFailure>)
        /// Of an answer of more than `uncountedAnswer` bytes, `sent` bytes have been written so far.
        case answerMoved(StreamID, sent: Int)
        /// An answer of more than `uncountedAnswer` bytes is written, or given up: its bytes are gone from the exchange.
        case answerEnded(StreamID)
        /// A message of the peer's was refused because of a limit, a time-out or its form.
        case refused
        /// The peer echoes a challenge.
        case pathResponse(UInt64)
        /// The peer has closed the link, and the answer that says so waits to be sent.
        case closed
        /// The peer broke the rules of the connection, or ended it; its last packet waits to be sent.
        case violated
    }

    /// How much a peer may ask of the exchange, and how much the exchange asks of the peer.
    public struct Limits: Sendable {
        /// What the messages of one lane may take.
        public struct Allowance: Sendable {
            /// Messages of the peer's that may be under way at once.
            public var incoming: Int
            /// Messages of ours that may be under way at once.
            public var requests: Int
            /// Bytes that the peer's messages may hold until they are handed over.
            public var unfinishedBytes: Int

            /// These limits.
            public init(incoming: Int, requests: Int, unfinishedBytes: Int) {
                self.incoming = incoming
                self.requests = requests
                self.unfinishedBytes = unfinishedBytes
            }
        }

        /// Messages of the peer's that may be under way at once.
        public var incoming: Int
        /// Messages of ours that may be under way at once.
        public var requests: Int
        /// The same for onion requests, which come beside the others: none unless said otherwise.
        public var onionRequests = Allowance(incoming: 0, requests: 0, unfinishedBytes: 0)
        /// DESTROYs of ours that may wait.
        public var destroys: Int
        /// Messages of the peer's a second, and their burst.
        public var rate: (rate: Int, burst: Int)
        /// Bytes that the peer's messages may hold until they are handed over.
        public var unfinishedBytes: Int
        /// How long a message may take to come whole, and an answer to make progress.
        public var arrivalTime: TimeSpan
        /// How long a message that has come whole may wait for our answer.
        public var answerTime: TimeSpan

        /// These limits.
        public init(
            incoming: Int, requests: Int, destroys: Int, rate: (rate: Int, burst: Int), unfinishedBytes: Int,
            arrivalTime: TimeSpan, answerTime: TimeSpan
        ) {
            self.incoming = incoming
            self.requests = requests
            self.destroys = destroys
            self.rate = rate
            self.unfinishedBytes = unfinishedBytes
            self.arrivalTime = arrivalTime
            self.answerTime = answerTime
        }

        /// What the messages of `lane` may take.
        func allowance(of lane: MessageLane) -> Allowance {
            switch lane {
            case .usual: Allowance(incoming: incoming, requests: requests, unfinishedBytes: unfinishedBytes)
            case .requests: onionRequests
            }
        }
    }
}

public import Transport
public import Wire

extension MessageExchange {
    /// A task or a notice for the owner of the exchange, in the order of events; taken with `nextAction`.
    public enum Action: Equatable, Sendable {
        /// A message of the peer has arrived whole: call `answer` or `refuse`.
        ///
        /// Its body is no longer than its kind allows.
        case received(MessageKind, body: [UInt8], StreamID)
        /// The peer asks for new keys: call `answer` or `refuse`.
        case rekey(body: [UInt8], StreamID)
        /// A message of ours has ended; there is one such action for each message that `begin` has begun.
        case answered(StreamID, Result<[UInt8], ControlFailure>)
        /// Of an answer of more than `uncountedAnswer` bytes, `sent` bytes have been written so far.
        case answerMoved(StreamID, sent: Int)
        /// An answer of more than `uncountedAnswer` bytes is written, or given up; the exchange no longer holds its
        /// bytes.
        case answerEnded(StreamID)
        /// A message of the peer was refused because of a limit, a time-out or its form.
        case refused
        /// The peer has echoed a challenge.
        case pathResponse(UInt64)
        /// The peer has closed the link, and the answer that says so waits to be sent.
        case closed
        /// The peer broke the rules of the connection, or ended it; its last packet waits to be sent.
        case violated
    }

    /// How much a peer may ask of the exchange, and how much the exchange asks of the peer.
    public struct Limits: Sendable {
        /// The limits of the messages of one lane.
        public struct Allowance: Sendable {
            /// Messages of the peer that may be under way at once.
            public var incoming: Int
            /// Messages of ours that may be under way at once.
            public var requests: Int
            /// Bytes that the peer's messages may hold until they are delivered.
            public var unfinishedBytes: Int

            /// An allowance of these limits.
            public init(incoming: Int, requests: Int, unfinishedBytes: Int) {
                self.incoming = incoming
                self.requests = requests
                self.unfinishedBytes = unfinishedBytes
            }
        }

        /// Messages of the peer that may be under way at once.
        public var incoming: Int
        /// Messages of ours that may be under way at once.
        public var requests: Int
        /// The limits of builds, which count apart from the others; by default those of the others.
        public var builds: Allowance
        /// The limits of onion requests, which count apart as well; none by default.
        public var onionRequests = Allowance(incoming: 0, requests: 0, unfinishedBytes: 0)
        /// The limits of the swarm store's messages, which count apart as well; none by default.
        public var store = Allowance(incoming: 0, requests: 0, unfinishedBytes: 0)
        /// DESTROYs of ours that may wait.
        public var destroys: Int
        /// Messages of the peer in a second, and their burst.
        public var rate: (rate: Int, burst: Int)
        /// Bytes that the peer's messages may hold until they are delivered.
        public var unfinishedBytes: Int
        /// How long a message may take to arrive whole, and how long an answer may make no progress.
        public var arrivalTime: TimeSpan
        /// How long a message that has arrived whole may wait for our answer.
        public var answerTime: TimeSpan

        /// Limits without onion requests and without a store.
        public init(
            incoming: Int, requests: Int, destroys: Int, rate: (rate: Int, burst: Int), unfinishedBytes: Int,
            arrivalTime: TimeSpan, answerTime: TimeSpan
        ) {
            self.incoming = incoming
            self.requests = requests
            self.destroys = destroys
            self.rate = rate
            self.unfinishedBytes = unfinishedBytes
            builds = Allowance(incoming: incoming, requests: requests, unfinishedBytes: unfinishedBytes)
            self.arrivalTime = arrivalTime
            self.answerTime = answerTime
        }

        /// Messages of the peer that may be under way at once, in all lanes together.
        var incomingOfAllLanes: Int {
            incoming + Self.link.incoming + builds.incoming + onionRequests.incoming + store.incoming
        }

        /// The limits of the link's own messages: one of each kind, and one of each that was given up and begun anew.
        private static let link = Allowance(
            incoming: 4, requests: 4, unfinishedBytes: 4 * (LinkMessage.kinds.map(\.longestBody).max() ?? 0))

        /// The limits of the messages of `lane`.
        func allowance(of lane: MessageLane) -> Allowance {
            switch lane {
            case .usual: Allowance(incoming: incoming, requests: requests, unfinishedBytes: unfinishedBytes)
            case .link: Self.link
            case .builds: builds
            case .requests: onionRequests
            case .store: store
            }
        }
    }
}

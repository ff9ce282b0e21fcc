public import Wire

/// Finds out whether the other end of a link is still there (protocol.md, section 3.8).
///
/// While something that wants an answer was sent and nothing authentic has come since, it asks for pings and in the end reports
/// the link dead. A tick that comes late shows that our own loop stood still, and then the peer gets more time.
public struct Liveness: Sendable {
    /// The intervals.
    public struct Timing: Sendable {
        /// How long a sent packet may stay alone before a ping.
        public var unanswered = TimeSpan.milliseconds(250)
        /// The wait for the answer to a ping.
        public var pingWait = TimeSpan.milliseconds(300)
        /// How many pings go unanswered before the link is dead.
        public var pings = 3
        /// How long a link may be silent before a ping.
        public var idle = TimeSpan.seconds(10)
        /// How late a tick may come before it says more about us than about the peer.
        public var lateness = TimeSpan.milliseconds(100)
        /// How many late ticks in a row are forgiven.
        public var forgiven = 10

        /// The protocol's values.
        public init() {}
    }

    /// What a tick asks for.
    public enum Action: Equatable, Sendable {
        /// Nothing.
        case none
        /// Send a packet that the peer answers at once.
        case ping
        /// The peer is gone.
        case dead
    }

    private enum State: Sendable {
        /// The last thing that happened was that something came.
        case answered
        /// Something was sent since, but no ping.
        case waiting
        /// This many pings were sent since.
        case pinged(Int)
    }

    private let timing: Timing
    private var state = State.answered
    private var lateTicks = 0
    /// When `tick` has something to say.
    public private(set) var nextDeadline: Instant

    /// A link that has just come up, or whose first packet was just sent.
    public init(timing: Timing = Timing(), now: Instant) {
        self.timing = timing
        nextDeadline = now + timing.idle
    }

    /// A packet that wants an answer, or data, was sent.
    public mutating func sent(now: Instant) {
        switch state {
        case .answered:
            state = .waiting
            nextDeadline = now + timing.unanswered
        case .waiting, .pinged: break
        }
    }

    /// Something authentic came.
    public mutating func received(now: Instant) {
        state = .answered
        lateTicks = 0
        nextDeadline = now + timing.idle
    }

    /// To be called at `nextDeadline`, after all packets that wait at the socket have been read.
    public mutating func tick(now: Instant) -> Action {
        guard now >= nextDeadline else { return .none }
        let isLate = now - nextDeadline > timing.lateness && lateTicks < timing.forgiven
        if isLate { lateTicks += 1 } else { lateTicks = 0 }
        nextDeadline = now + timing.pingWait
        switch state {
        case .answered, .waiting:
            state = .pinged(1)
            return .ping
        case .pinged(let count):
            if isLate { return .ping }
            guard count < timing.pings else { return .dead }
            state = .pinged(count + 1)
            return .ping
        }
    }
}

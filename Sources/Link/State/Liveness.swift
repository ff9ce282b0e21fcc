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

    @usableFromInline enum State: Equatable, Sendable {
        /// The last thing that happened was that something came.
        case answered
        /// Something was sent since, but no ping.
        case waiting
        /// Pings were sent since.
        case pinged
    }

    @usableFromInline let timing: Timing
    @usableFromInline var state = State.answered
    /// How many pings were sent since something came.
    private var pings = 0
    @usableFromInline var lateTicks = 0
    /// When `tick` has something to say.
    public var nextDeadline: Instant { deadline }
    @usableFromInline var deadline: Instant

    /// A link that has just come up, or whose first packet was just sent.
    public init(timing: Timing = Timing(), now: Instant) {
        self.timing = timing
        deadline = now + timing.idle
    }

    /// A packet that wants an answer, or data, was sent; true when that changed the deadline.
    @inlinable @discardableResult
    public mutating func sent(now: Instant) -> Bool {
        guard state == .answered else { return false }
        state = .waiting
        deadline = now + timing.unanswered
        return true
    }

    /// Something authentic came.
    @inlinable
    public mutating func received(now: Instant) {
        state = .answered
        lateTicks = 0
        deadline = now + timing.idle
    }

    /// To be called at `nextDeadline`, after all packets that wait at the socket have been read.
    public mutating func tick(now: Instant) -> Action {
        guard now >= nextDeadline else { return .none }
        let isLate = now - nextDeadline > timing.lateness && lateTicks < timing.forgiven
        if isLate { lateTicks += 1 } else { lateTicks = 0 }
        deadline = now + timing.pingWait
        switch state {
        case .answered, .waiting:
            state = .pinged
            pings = 1
            return .ping
        case .pinged:
            if isLate { return .ping }
            guard pings < timing.pings else { return .dead }
            pings += 1
            return .ping
        }
    }
}

public import Wire

/// Detects whether the other end of a link is still there (protocol.md, section 3.8).
///
/// While a packet that needs an answer was sent and nothing authentic has come since, it asks for pings and finally
/// reports the link dead. A late tick shows that the own loop was stopped, and then the peer gets more time.
public struct Liveness: Sendable {
    /// The intervals.
    public struct Timing: Sendable {
        /// How long a sent packet may stay unanswered before a ping.
        public var unanswered = TimeSpan.milliseconds(250)
        /// The wait for the answer to a ping.
        public var pingWait = TimeSpan.milliseconds(300)
        /// How many pings go unanswered before the link is dead.
        public var pings = 3
        /// How long a link may be silent before a ping.
        public var idle = TimeSpan.seconds(10)
        /// A tick that is later than this is the own loop's fault, not the peer's.
        public var lateness = TimeSpan.milliseconds(100)
        /// How many late ticks in a row are excused.
        public var forgiven = 10

        /// The protocol's values.
        public init() {}
    }

    /// The action that a tick requests.
    public enum Action: Equatable, Sendable {
        /// No action.
        case none
        /// Send a packet that the peer answers at once.
        case ping
        /// The peer is gone.
        case dead
    }

    @usableFromInline enum State: Equatable, Sendable {
        /// The last event was a packet that came.
        case answered
        /// A packet was sent since then, but no ping.
        case waiting
        /// Pings were sent since then.
        case pinged
    }

    @usableFromInline let timing: Timing
    @usableFromInline var state = State.answered
    /// How many pings were sent since a packet came.
    private var pings = 0
    @usableFromInline var lateTicks = 0
    /// When to call `tick`.
    public var nextDeadline: Instant { deadline }
    @usableFromInline var deadline: Instant

    /// A link that has just come up, or whose first packet was just sent.
    public init(timing: Timing = Timing(), now: Instant) {
        self.timing = timing
        deadline = now + timing.idle
    }

    /// A packet that needs an answer, or data, was sent; returns true if that changed the deadline.
    @inlinable @discardableResult
    public mutating func sent(now: Instant) -> Bool {
        guard state == .answered else { return false }
        state = .waiting
        deadline = now + timing.unanswered
        return true
    }

    /// An authentic packet came.
    @inlinable
    public mutating func received(now: Instant) {
        state = .answered
        lateTicks = 0
        deadline = now + timing.idle
    }

    /// Call this at `nextDeadline`, after all packets that wait at the socket have been read.
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

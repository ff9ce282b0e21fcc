public import Wire

/// Detects whether the other end of a link is still there (protocol.md, section 3.8).
///
/// While a packet that needs an answer was sent and nothing authentic has come since, it asks for pings and finally
/// reports the link dead. The waits follow the measured round trip. A late tick shows that the own loop was stopped,
/// and then the peer gets more time.
public struct Liveness: Sendable {
    /// How long a peer may be silent, and when it is pinged.
    public struct Timing: Sendable {
        /// How long a sent packet may stay unanswered before a ping.
        public var unanswered = TimeSpan.milliseconds(250)
        /// The wait for the answer to a ping.
        public var pingWait = TimeSpan.milliseconds(300)
        /// The longest silence in all, for a peer with a long round trip or a link whose own line may be full.
        public var longest = TimeSpan.seconds(10)
        /// How many pings go unanswered before the link is dead.
        public var pings = 3
        /// How long a link may be silent before a ping.
        public var idle = TimeSpan.seconds(10)
        /// A later tick means that the own loop was stopped, not that the peer is silent.
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
        /// The same; one before it is unanswered.
        case pingAgain
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
    /// The waits by the measured round trip.
    @usableFromInline var unanswered: TimeSpan
    private var pingWait: TimeSpan
    @usableFromInline var state = State.answered
    /// How many pings were sent since a packet came.
    private var pings = 0
    @usableFromInline var lateTicks = 0
    /// When to call `tick`.
    public var nextDeadline: Instant { state == .answered ? lastHeard + timing.idle : deadline }
    @usableFromInline var deadline: Instant
    /// When an authentic packet came last.
    public var heard: Instant { lastHeard }
    @usableFromInline var lastHeard: Instant
    /// Since when the peer is silent: a packet that needs an answer was sent then, and nothing has come since.
    @usableFromInline var asked: Instant

    /// A link that has just come up, or whose first packet was just sent; `roundTrip` is that of the handshake.
    public init(timing: Timing = Timing(), roundTrip: TimeSpan? = nil, now: Instant) {
        self.timing = timing
        (unanswered, pingWait) = (timing.unanswered, timing.pingWait)
        (deadline, lastHeard, asked) = (now, now, now)
        if let roundTrip { measured(roundTrip) }
    }

    /// Sets the round trip: an answer is awaited for one and a half of it, and each further ping for one.
    public mutating func measured(_ roundTrip: TimeSpan) {
        let known = min(roundTrip, timing.longest)
        unanswered = max(timing.unanswered, min(known * 3 / 2, timing.longest * 2 / 5))
        pingWait = max(timing.pingWait, min(known, timing.longest / 5))
    }

    /// Since when the peer has left something unanswered; nil if nothing is.
    public var silentSince: Instant? { state == .answered ? nil : asked }

    /// Whether the peer has left a ping unanswered.
    public var leavesPings: Bool { state == .pinged && pings > 1 }

    /// A packet with data, or one that needs an answer, was sent; returns true if that changed the deadline.
    @inlinable @discardableResult
    public mutating func sent(now: Instant) -> Bool {
        guard state == .answered else { return false }
        state = .waiting
        asked = now
        deadline = now + unanswered
        return true
    }

    /// An authentic packet came.
    @inlinable
    public mutating func received(now: Instant) {
        state = .answered
        lateTicks = 0
        lastHeard = now
    }

    /// An authentic packet came at `moment`, as another worker has told later.
    public mutating func heard(at moment: Instant) {
        guard moment > lastHeard else { return }
        guard state == .answered || asked <= moment else {
            lastHeard = moment
            return
        }
        received(now: moment)
    }

    /// Whether a packet was sent since the last one came, or since the last call; for a worker that only tells another
    /// one.
    public mutating func takeSent() -> Bool {
        defer { state = .answered }
        return state != .answered
    }

    /// Call this at `nextDeadline`, after all packets that wait at the socket have been read.
    ///
    /// `isPatient` says that the own line may cause the silence: then the link is not dead before the longest time.
    public mutating func tick(now: Instant, isPatient: Bool = false) -> Action {
        let due = nextDeadline
        guard now >= due else { return .none }
        let isLate = now - due > timing.lateness && lateTicks < timing.forgiven
        if isLate {
            lateTicks += 1
            asked = asked + (now - due)
        } else {
            lateTicks = 0
        }
        deadline = now + pingWait
        switch state {
        case .answered, .waiting:
            if state == .answered { asked = now }
            state = .pinged
            pings = 1
            return .ping
        case .pinged:
            if isLate { return .pingAgain }
            if pings >= timing.pings {
                guard isPatient, now - asked < timing.longest else { return .dead }
                // Each wait is twice the last one.
                let wait = pingWait * (1 << Int64(min(pings - timing.pings + 1, 5)))
                deadline = min(now + wait, asked + timing.longest)
            }
            pings += 1
            return .pingAgain
        }
    }
}

internal import Wire

/// The phase of a relay's life: whether it accepts new paths, and when its present ones end.
///
/// It reads no clock and ends nothing itself: the relay asks it and acts.
struct RelayLife {
    enum Phase {
        /// The relay accepts new paths.
        case serving
        /// The relay accepts no new paths, at its operator's request.
        ///
        /// It ends the present ones at `end`, and may serve again.
        case resting(end: Instant)
        /// The relay accepts no new paths, and waits until `end` for the present ones.
        ///
        /// A stream was last open at `busy`.
        case draining(end: Instant, busy: Instant, completion: () -> Void)
        /// The drain is over, and the relay must close.
        case drained
        /// Everything has ended.
        case closed
    }

    /// How long nothing must happen before a drain is over; meanwhile the last bytes of ended streams arrive.
    ///
    /// A path that carries nothing for this time is ended.
    static let rest = TimeSpan.seconds(2)

    private(set) var phase = Phase.serving
    /// The time of the next check for quiet paths.
    private var nextLook = Instant(nanoseconds: 0)

    /// Whether new paths are accepted.
    var takesPaths: Bool { if case .serving = phase { true } else { false } }
    /// Whether the relay rests.
    var isResting: Bool { if case .resting = phase { true } else { false } }
    /// Whether the relay drains.
    var isDraining: Bool { if case .draining = phase { true } else { false } }
    /// Whether everything has ended.
    var isClosed: Bool { if case .closed = phase { true } else { false } }

    /// Begins or ends the rest; paths that are still open at `end` are ended then.
    mutating func rest(_ isToRest: Bool, until end: Instant) {
        switch phase {
        case .serving: if isToRest { phase = .resting(end: end) }
        case .resting: if !isToRest { phase = .serving }
        case .draining, .drained, .closed: break
        }
    }

    /// Begins the drain, which ends at `end` at the latest.
    ///
    /// Returns false if the relay drains already or is closed.
    mutating func drain(now: Instant, until end: Instant, completion: @escaping () -> Void) -> Bool {
        switch phase {
        case .serving, .resting:
            phase = .draining(end: end, busy: now, completion: completion)
            return true
        case .draining, .drained, .closed: return false
        }
    }

    /// Closes; returns false if it was closed before.
    mutating func close() -> Bool {
        defer { phase = .closed }
        return !isClosed
    }

    /// Whether paths that carried nothing since this was last true must end now.
    mutating func endsQuietPaths(_ now: Instant) -> Bool {
        switch phase {
        case .resting, .draining:
            guard now >= nextLook else { return false }
            nextLook = now + Self.rest
            return true
        case .serving, .drained, .closed: return false
        }
    }

    /// Whether all paths and sessions must end now, while the relay stays up.
    func endsAllPaths(_ now: Instant) -> Bool {
        if case .resting(let end) = phase { now >= end } else { false }
    }

    /// Notes the numbers of `paths`, of those that end here, and of `streams`.
    ///
    /// Returns the drain's completion when it is over.
    mutating func note(paths: Int, ends: Int, streams: Int, now: Instant) -> (() -> Void)? {
        guard case .draining(let end, var busy, let completion) = phase else { return nil }
        if streams > 0 { busy = now }
        phase = .draining(end: end, busy: busy, completion: completion)
        // Other nodes may use paths that continue from here. Paths that end here are not in use without a stream.
        let isQuiet = paths <= ends && now - busy >= Self.rest
        guard paths == 0 || isQuiet || now >= end else { return nil }
        phase = .drained
        return completion
    }
}

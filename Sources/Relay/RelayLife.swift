internal import Wire

/// Where a relay is in its life: whether it takes new paths, and when those that it has end.
///
/// It reads no clock and ends nothing itself: the relay asks it, and does what it says.
struct RelayLife {
    enum Phase {
        /// It takes new paths.
        case serving
        /// It takes none by its operator's wish, ends those that it has at `end`, and may serve again.
        case resting(end: Instant)
        /// It takes none, and waits until `end` for those that it has; `busy` is when a stream was last open.
        case draining(end: Instant, busy: Instant, completion: () -> Void)
        /// The drain is over: the relay is to close.
        case drained
        /// All has ended.
        case closed
    }

    /// How long nothing goes on before a drain is over: what streams that have ended sent last arrives meanwhile.
    ///
    /// A path over which nothing passes for as long ends.
    static let rest = TimeSpan.seconds(2)

    private(set) var phase = Phase.serving
    /// When the paths of a relay that takes no new ones are looked at next.
    private var nextLook = Instant(nanoseconds: 0)

    /// Whether new paths are taken.
    var takesPaths: Bool { if case .serving = phase { true } else { false } }
    /// Whether it rests.
    var isResting: Bool { if case .resting = phase { true } else { false } }
    /// Whether it drains.
    var isDraining: Bool { if case .draining = phase { true } else { false } }
    /// Whether all has ended.
    var isClosed: Bool { if case .closed = phase { true } else { false } }

    /// The operator has it rest until further notice, or serve again; paths that are left end at `end`.
    mutating func rest(_ isToRest: Bool, until end: Instant) {
        switch phase {
        case .serving: if isToRest { phase = .resting(end: end) }
        case .resting: if !isToRest { phase = .serving }
        case .draining, .drained, .closed: break
        }
    }

    /// It is to end when its paths have, at `end` at the latest; false where it is about to end already.
    mutating func drain(now: Instant, until end: Instant, completion: @escaping () -> Void) -> Bool {
        switch phase {
        case .serving, .resting:
            phase = .draining(end: end, busy: now, completion: completion)
            return true
        case .draining, .drained, .closed: return false
        }
    }

    /// It ends now; false where it has.
    mutating func close() -> Bool {
        defer { phase = .closed }
        return !isClosed
    }

    /// Whether the paths are to end over which nothing has passed since it said so last.
    mutating func endsQuietPaths(_ now: Instant) -> Bool {
        switch phase {
        case .resting, .draining:
            guard now >= nextLook else { return false }
            nextLook = now + Self.rest
            return true
        case .serving, .drained, .closed: return false
        }
    }

    /// Whether all paths and sessions are to end, while the relay stays.
    func endsAllPaths(_ now: Instant) -> Bool {
        if case .resting(let end) = phase { now >= end } else { false }
    }

    /// Notes what there is still: `paths` of which `ends` end here, and `streams`; the drain's completion where it is over.
    mutating func note(paths: Int, ends: Int, streams: Int, now: Instant) -> (() -> Void)? {
        guard case .draining(let end, var busy, let completion) = phase else { return nil }
        if streams > 0 { busy = now }
        phase = .draining(end: end, busy: busy, completion: completion)
        // Paths that lead on are others' to use; what ends here without a stream is not.
        let isQuiet = paths <= ends && now - busy >= Self.rest
        guard paths == 0 || isQuiet || now >= end else { return nil }
        phase = .drained
        return completion
    }
}

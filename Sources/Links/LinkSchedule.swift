internal import EventLoop
internal import Wire

/// The work of links that waits: for the end of this turn, or for a sweep over all links.
struct LinkSchedule {
    /// The shortest time between two sweeps.
    static let shortestSweep = TimeSpan.milliseconds(20)

    /// Closures that run at the end of the turn, outside of any call to `Links`.
    private var deferred: [() -> Void] = []
    /// Links with something to send.
    private var dirty: [ControlLink] = []
    /// Fires at the end of a turn that left work; nil before `start`.
    private var turnTimer: LoopTimer?
    /// Fires when a sweep is due; nil before `start`.
    private var sweepTimer: LoopTimer?
    /// The time of the last sweep.
    private(set) var lastSweep: Instant
    /// When closing links end, or messages time out, where that is before the link's next turn in a round.
    private var deadlines: [LinkID: Instant] = [:]
    /// The present round over all links.
    var round = SweepRound()

    /// A schedule without work.
    init(now: Instant) { lastSweep = now }

    /// Sets the closures that run at the end of a turn with work, and at a sweep.
    mutating func start(on loop: Loop, turn: @escaping () -> Void, sweep: @escaping () -> Void) {
        turnTimer = LoopTimer(on: loop, callback: turn)
        sweepTimer = LoopTimer(on: loop, callback: sweep)
    }

    /// Runs the turn closure at the end of this turn.
    func wake() { turnTimer?.schedule(at: 0) }

    /// Runs `work` at the end of the turn.
    mutating func later(_ work: @escaping () -> Void) {
        deferred.append(work)
        wake()
    }

    /// Lets `link` send at the end of the turn.
    mutating func markDirty(_ link: ControlLink) {
        guard !link.isDirty, !link.isGone else { return }
        link.isDirty = true
        dirty.append(link)
        wake()
    }

    /// Removes and returns the closures that are due.
    mutating func takeDeferred() -> [() -> Void] {
        defer { deferred = [] }
        return deferred
    }

    /// Removes and returns the links that have something to send; the caller marks each clean before it sends.
    mutating func takeDirty() -> [ControlLink] {
        defer { dirty = [] }
        return dirty
    }

    /// Notes that a sweep begins at `moment`.
    mutating func swept(at moment: Instant) { lastSweep = moment }

    /// Schedules the next sweep for `moment` or earlier, but not within `shortestSweep` of the last one.
    func sweepBefore(_ moment: Instant) {
        guard let sweepTimer else { return }
        let deadline = max(moment, lastSweep + Self.shortestSweep).nanoseconds
        if sweepTimer.deadline.map({ deadline < $0 }) ?? true { sweepTimer.schedule(at: deadline) }
    }

    /// Has the sweep of `moment` look at `link`.
    mutating func look(at link: LinkID, at moment: Instant) {
        deadlines[link] = min(deadlines[link] ?? moment, moment)
        sweepBefore(moment)
    }

    /// Removes and returns the links whose deadlines are over at `moment`.
    mutating func takeDue(at moment: Instant) -> [LinkID] {
        let due = deadlines.compactMap { $0.value <= moment ? $0.key : nil }.sorted { $0.rawValue < $1.rawValue }
        for link in due { deadlines[link] = nil }
        return due
    }

    /// The first deadline of a link.
    var nextDeadline: Instant? { deadlines.values.min() }

    /// Stops the sweeps.
    func close() { sweepTimer?.close() }
}

/// A round over all links, a part in each sweep.
struct SweepRound {
    /// The place from which the next part goes on.
    var place = 0
    /// When the next part is due.
    var next = Instant(nanoseconds: 0)
    /// The memory that clients' links hold, of those that the round has come to.
    var held = 0
}

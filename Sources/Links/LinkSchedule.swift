internal import EventLoop
internal import Wire

/// When links have something to do: at the end of this turn, or at a sweep over all of them.
struct LinkSchedule {
    /// Two sweeps are at least this far apart.
    static let shortestSweep = TimeSpan.milliseconds(20)

    /// What runs at the end of the turn, outside of any call to `Links`.
    private var deferred: [() -> Void] = []
    /// Links with something to send.
    private var dirty: [ControlLink] = []
    /// Fires at the end of a turn in which something was left to do; nil before `start`.
    private var turnTimer: LoopTimer?
    /// Fires when some link wants a look; nil before `start`.
    private var sweepTimer: LoopTimer?
    /// When the last sweep was.
    private(set) var lastSweep: Instant

    /// Nothing to do.
    init(now: Instant) { lastSweep = now }

    /// Lets `turn` and `sweep` run when there is something to do.
    mutating func start(on loop: Loop, turn: @escaping () -> Void, sweep: @escaping () -> Void) {
        turnTimer = LoopTimer(on: loop, callback: turn)
        sweepTimer = LoopTimer(on: loop, callback: sweep)
    }

    /// Lets the turn's end come to `turn`.
    func wake() { turnTimer?.schedule(at: 0) }

    /// Lets `work` run at the end of the turn.
    mutating func later(_ work: @escaping () -> Void) {
        deferred.append(work)
        wake()
    }

    /// Lets a link send at the end of the turn.
    mutating func markDirty(_ link: ControlLink) {
        guard !link.isDirty, !link.isGone else { return }
        link.isDirty = true
        dirty.append(link)
        wake()
    }

    /// Takes out what is to run.
    mutating func takeDeferred() -> [() -> Void] {
        defer { deferred = [] }
        return deferred
    }

    /// Takes out the links that have something to send; each is to be marked clean before it sends.
    mutating func takeDirty() -> [ControlLink] {
        defer { dirty = [] }
        return dirty
    }

    /// Notes that a sweep begins.
    mutating func swept(at moment: Instant) { lastSweep = moment }

    /// Lets the next sweep come at `moment` at the latest.
    func sweepBefore(_ moment: Instant) {
        guard let sweepTimer else { return }
        let deadline = max(moment, lastSweep + Self.shortestSweep).nanoseconds
        if sweepTimer.deadline.map({ deadline < $0 }) ?? true { sweepTimer.schedule(at: deadline) }
    }

    /// No sweep comes any more.
    func close() { sweepTimer?.close() }
}

/// Calls back once at a monotonic time, as often as it is set again.
///
/// Timers of a loop share one heap and one `timerfd`, so that deadlines have the clock's precision, not libuv's millisecond, and
/// setting one is no system call: the loop arms the descriptor at most once per turn, before it waits. A timer that nobody
/// holds any more is cancelled.
public final class LoopTimer {
    private let loop: Loop
    private var callback: (() -> Void)?
    /// The time to fire at; `.max` is never.
    fileprivate(set) var due = UInt64.max
    /// The place in the loop's heap, or -1.
    fileprivate var heapIndex = -1

    /// A timer that is not set; `callback` runs on the loop and may set it again.
    public init(on loop: Loop, callback: @escaping () -> Void) {
        self.loop = loop
        self.callback = callback
    }

    deinit { loop.timers.remove(self) }

    /// The time it is set for, in nanoseconds of ``Loop/now``, or nil.
    public var deadline: UInt64? { due == .max ? nil : due }

    /// Sets the timer for an absolute time in nanoseconds, in place of an earlier setting.
    ///
    /// A time in the past fires at the end of this turn, or of the next when a timer's callback asks for it. Setting a timer
    /// later than it stands costs two comparisons.
    public func schedule(at deadline: UInt64) {
        loop.assertOnThread()
        guard callback != nil, !loop.isClosed else { return }
        due = deadline
        if deadline != .max { loop.timers.insert(self) }
    }

    /// Unsets the timer.
    public func cancel() {
        loop.assertOnThread()
        due = .max
    }

    /// Unsets the timer for good and lets go of its callback.
    public func close() {
        cancel()
        callback = nil
    }

    /// Calls back; the heap has let go of it already.
    func fire() {
        due = .max
        callback?()
    }
}

/// The timers of a loop, first deadline first, in the order they were set where deadlines are equal.
struct TimerQueue: ~Copyable {
    @safe
    private struct Entry {
        /// When to look at the timer: its deadline, or an earlier one that it had.
        var key: UInt64
        var sequence: UInt64
        /// Not retained: a timer removes itself before it goes.
        let timer: Unmanaged<LoopTimer>

        func isBefore(_ other: Entry) -> Bool {
            key != other.key ? key < other.key : sequence < other.sequence
        }
    }

    private var entries: [Entry] = []
    private var nextSequence = UInt64(0)
    /// While timers fire: the time until which they do.
    private var firingTime: UInt64?

    /// A lower bound of the first deadline, or nil when nothing is set.
    var firstKey: UInt64? { entries.first?.key }

    /// Puts a timer in, or moves it forward; one that moves back keeps its place until that comes up.
    mutating func insert(_ timer: LoopTimer) {
        // What a callback sets for the past waits for the next turn, or a timer could keep the loop for itself.
        let key = if let firingTime, timer.due <= firingTime { firingTime + 1 } else { timer.due }
        if timer.heapIndex < 0 {
            unsafe entries.append(
                Entry(key: key, sequence: nextSequence, timer: Unmanaged.passUnretained(timer)))
            nextSequence += 1
            timer.heapIndex = entries.count - 1
            siftUp(timer.heapIndex)
        } else if key < entries[timer.heapIndex].key {
            entries[timer.heapIndex].key = key
            entries[timer.heapIndex].sequence = nextSequence
            nextSequence += 1
            siftUp(timer.heapIndex)
        }
    }

    /// Takes a timer out.
    mutating func remove(_ timer: LoopTimer) {
        guard timer.heapIndex >= 0 else { return }
        let index = timer.heapIndex
        timer.heapIndex = -1
        let last = entries.removeLast()
        guard index < entries.count else { return }
        place(last, at: index)
        siftUp(index)
        siftDown(index)
    }

    /// Takes all timers out.
    mutating func removeAll() {
        for entry in entries {
            let timer = unsafe entry.timer.takeUnretainedValue()
            timer.heapIndex = -1
            timer.due = .max
        }
        entries = []
    }

    /// Takes out the next timer that is due at `time`; nil ends a round of firing.
    mutating func popExpired(at time: UInt64) -> LoopTimer? {
        firingTime = time
        while let first = entries.first, first.key <= time {
            let timer = unsafe first.timer.takeUnretainedValue()
            // A timer that was set later is put where it belongs first, or it would overtake others when the loop is late.
            if timer.due <= first.key {
                remove(timer)
                return timer
            }
            settle(timer)
        }
        firingTime = nil
        return nil
    }

    /// The first deadline, after timers that were cancelled or set later have been put where they belong.
    mutating func settledFirstDeadline() -> UInt64? {
        while let first = entries.first {
            let timer = unsafe first.timer.takeUnretainedValue()
            if timer.due <= first.key { return first.key }
            settle(timer)
        }
        return nil
    }

    /// Moves a timer at the top whose deadline is later than its key, or takes it out when it is cancelled.
    private mutating func settle(_ timer: LoopTimer) {
        guard timer.due != .max else { return remove(timer) }
        entries[0].key = timer.due
        entries[0].sequence = nextSequence
        nextSequence += 1
        siftDown(0)
    }

    private mutating func place(_ entry: Entry, at index: Int) {
        entries[index] = entry
        unsafe entry.timer._withUnsafeGuaranteedRef { $0.heapIndex = index }
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        let entry = entries[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard entry.isBefore(entries[parent]) else { break }
            place(entries[parent], at: index)
            index = parent
        }
        place(entry, at: index)
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        let entry = entries[index]
        while true {
            var child = 2 * index + 1
            guard child < entries.count else { break }
            if child + 1 < entries.count && entries[child + 1].isBefore(entries[child]) { child += 1 }
            guard entries[child].isBefore(entry) else { break }
            place(entries[child], at: index)
            index = child
        }
        place(entry, at: index)
    }
}

/// Calls back once at a monotonic time each time that it is set.
///
/// A loop's timers share one heap and one `timerfd`, so deadlines have the clock's precision, not libuv's millisecond.
/// Setting a timer is no system call: the loop arms the descriptor at most once a turn, before it waits. A timer is
/// cancelled when its last reference is released.
public final class LoopTimer {
    private let loop: Loop
    private var callback: (() -> Void)?
    /// The time at which it fires; `.max` for never.
    fileprivate(set) var due = UInt64.max
    /// The index in the loop's heap, or -1.
    fileprivate var heapIndex = -1

    /// A timer that is not set; `callback` runs on the loop and may set it again.
    public init(on loop: Loop, callback: @escaping () -> Void) {
        self.loop = loop
        self.callback = callback
    }

    deinit { loop.timers.remove(self) }

    /// The time at which it fires, in nanoseconds of ``Loop/now``; nil if it is not set.
    public var deadline: UInt64? { due == .max ? nil : due }

    /// Sets the timer for an absolute time in nanoseconds, in place of an earlier setting.
    ///
    /// A time in the past fires at the end of this turn; if a timer's callback sets it, at the end of the next one.
    /// Setting a later time costs two comparisons.
    public func schedule(at deadline: UInt64) {
        loop.assertOnThread()
        guard callback != nil, !loop.isClosed else { return }
        due = deadline
        if deadline != .max { loop.timers.insert(self) }
    }

    /// Cancels the timer, which can be scheduled again; has no effect if it is not scheduled.
    public func cancel() {
        loop.assertOnThread()
        due = .max
    }

    /// Cancels the timer for good and releases its callback.
    public func close() {
        cancel()
        callback = nil
    }

    /// Calls back; the timer is no longer in the heap.
    func fire() {
        due = .max
        callback?()
    }
}

/// The timers of a loop, in order of their deadlines, and at equal deadlines in the order in which they were set.
struct TimerQueue: ~Copyable {
    @safe
    private struct Entry {
        /// When to examine the timer: its deadline, or an earlier one that it had before.
        var key: UInt64
        var sequence: UInt64
        /// Not retained: a timer removes itself in its deinitializer.
        let timer: Unmanaged<LoopTimer>

        func isBefore(_ other: Entry) -> Bool {
            key != other.key ? key < other.key : sequence < other.sequence
        }
    }

    private var entries: [Entry] = []
    private var nextSequence = UInt64(0)
    /// While timers fire: the time up to which they are due.
    private var firingTime: UInt64?

    /// A lower bound of the first deadline; nil if no timer is set.
    var firstKey: UInt64? { entries.first?.key }

    /// Adds a timer, or moves it forward; a timer set to a later time keeps its place until that comes up.
    mutating func insert(_ timer: LoopTimer) {
        // A time in the past that a callback sets waits for the next turn, or a timer could occupy the loop.
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

    mutating func removeAll() {
        for entry in entries {
            let timer = unsafe entry.timer.takeUnretainedValue()
            timer.heapIndex = -1
            timer.due = .max
        }
        entries = []
    }

    /// Removes and returns the next timer that is due at `time`; nil ends a round of firing.
    mutating func popExpired(at time: UInt64) -> LoopTimer? {
        firingTime = time
        while let first = entries.first, first.key <= time {
            let timer = unsafe first.timer.takeUnretainedValue()
            // A timer that was set later is moved to its place first, or it would overtake others when the loop is
            // late.
            if timer.due <= first.key {
                remove(timer)
                return timer
            }
            settle(timer)
        }
        firingTime = nil
        return nil
    }

    /// The first deadline, after cancelled and later timers have been moved to their places.
    mutating func settledFirstDeadline() -> UInt64? {
        while let first = entries.first {
            let timer = unsafe first.timer.takeUnretainedValue()
            if timer.due <= first.key { return first.key }
            settle(timer)
        }
        return nil
    }

    /// Moves the first timer if its deadline is later than its key, or removes it if it is cancelled.
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

import CLibUV
import CShims
import Glibc

/// One libuv loop, and the thread that runs it.
///
/// Every object made on a loop must be used only on the loop's thread; only a ``Mailbox/Sender`` crosses threads. A
/// turn is: socket and descriptor events, then due timers, then the work of ``addAtTurnEnd(_:)``, then the transmission
/// of the packets queued in the turn; then the loop waits. Objects made on a loop retain it, and it retains them while
/// they are open; ``close()`` ends the cycle.
///
/// It has more members than most types: all that handles need of libuv, or of the simulated host in its place.
@safe
public final class Loop {
    /// libuv's loop; traps for a loop on simulated time.
    var uv: UnsafeMutablePointer<uv_loop_t> {
        precondition(host == nil, "not simulated: no handle of libuv opens on a loop on simulated time")
        return unsafe storage
    }
    /// Memory for libuv's loop; freed with this object.
    private let storage: UnsafeMutablePointer<uv_loop_t>
    /// The simulated machine that provides clock, network and timers; nil for a loop of libuv.
    package let host: SimulatedHost?
    /// The world of that machine, retained by its loops.
    private let world: SimulatedWorld?
    private let prepare: UnsafeMutablePointer<uv_prepare_t>
    private let idle: UnsafeMutablePointer<uv_idle_t>
    private let timerPoll: UnsafeMutablePointer<uv_poll_t>
    private let timerDescriptor: Int32

    /// The work at the end of each turn; nil if there is none.
    var atTurnEnd: (() -> Void)?

    /// Adds `work` to the end of each turn, after all callbacks and earlier additions, and before the loop flushes
    /// packets and waits.
    ///
    /// Packets that it queues are sent before the loop waits. A timer that it sets for now or earlier fires without a
    /// wait. If it leaves other work, it must call ``wake()``.
    public func addAtTurnEnd(_ work: @escaping () -> Void) {
        guard let earlier = atTurnEnd else { return atTurnEnd = work }
        atTurnEnd = {
            earlier()
            work()
        }
    }

    /// The timers that are set, ordered by deadline.
    var timers = TimerQueue()
    /// The time for which the timer descriptor is armed; `.max` for none.
    private var armedDeadline = UInt64.max
    /// The queues with packets that await a flush.
    let transmits = UnsafeMutablePointer<TransmitList>.allocate(capacity: 1)
    /// The receive memory of all datagram sockets of this loop; made when the first one opens.
    lazy var receiveArea = ReceiveArea()
    /// The read buffer of all streams of this loop.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Loop.readBufferSize, alignment: 64)
    /// The size of ``readBuffer``: the most bytes of one read of a stream.
    static let readBufferSize = 128 << 10

    /// How many of the process's descriptors TCP connections must leave free, for files, name servers' sockets and the
    /// control socket.
    ///
    /// A connection that would take one of them is refused with `EMFILE`.
    public var reservedDescriptors = Loop.defaultReserve { didSet { unaskedDescriptors = 0 } }

    /// 64, or a quarter of the limit in a process with a low limit.
    private static var defaultReserve: Int { min(64, descriptorLimit / 4) }

    private static var descriptorLimit: Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 256 }
        return Int(clamping: limit.rlim_cur)
    }

    /// How often no more than the reserve was free, and a connection was refused or another was ended.
    public private(set) var descriptorShortages: UInt64 = 0
    /// How many more descriptors this loop may open before it asks the kernel again how many are free.
    private var unaskedDescriptors = 0

    /// Whether more descriptors than the reserve are free.
    ///
    /// The caller opens one. The kernel is not asked each time: each loop may first open a thirty-second part of what
    /// was free beside the reserve, so that 16 workers open half of it.
    public var hasDescriptorsToSpare: Bool {
        // A simulated machine does not share its descriptors.
        guard host == nil else { return leavesReserve(0) }
        if unaskedDescriptors > 0 {
            unaskedDescriptors -= 1
            return true
        }
        let lowest = fcntl(timerDescriptor, F_DUPFD_CLOEXEC, 0)
        if lowest >= 0 { Glibc.close(lowest) }
        return leavesReserve(lowest)
    }

    /// Whether more descriptors than the reserve are free beside `newest`, which was just opened; negative: that
    /// failed.
    ///
    /// The kernel gives out the lowest free one, which shows how many are in use.
    func leavesReserve(_ newest: Int32) -> Bool {
        if newest >= 0, unaskedDescriptors > 0 {
            unaskedDescriptors -= 1
            return true
        }
        let spare = newest < 0 ? 0 : Self.descriptorLimit - reservedDescriptors - Int(newest)
        unaskedDescriptors = max(spare, 0) / 32
        if spare <= 0 { descriptorShortages += 1 }
        return spare > 0
    }

    private var cachedNow: UInt64
    private var isNowStale = true
    private var state = State.open
    private let thread: uv_thread_t

    private enum State { case open, closing, closed }

    /// Makes a loop that belongs to the current thread.
    ///
    /// A write to a broken connection must be an error, not a SIGPIPE. Unless `blocksBrokenPipes` says that this thread
    /// blocks that signal, the process ignores it from then on.
    public init(blocksBrokenPipes: Bool = false) throws(UVError) {
        (host, world) = (nil, nil)
        unsafe storage = .allocate(capacity: 1)
        unsafe prepare = .allocate(capacity: 1)
        unsafe idle = .allocate(capacity: 1)
        unsafe timerPoll = .allocate(capacity: 1)
        unsafe transmits.initialize(to: TransmitList())
        thread = uv_thread_self()
        cachedNow = uv_hrtime()
        timerDescriptor = shim_timer_create()
        if !blocksBrokenPipes { signal(SIGPIPE, SIG_IGN) }

        let made = unsafe uv_loop_init(storage)
        guard made == 0, timerDescriptor >= 0 else {
            state = .closed
            if made == 0 { unsafe uv_loop_close(uv) }
            throw made == 0
                ? UVError(code: timerDescriptor, call: "timerfd_create") : UVError(code: made, call: "uv_loop_init")
        }
        unsafe uv_prepare_init(uv, prepare)
        unsafe uv_idle_init(uv, idle)
        let polled = unsafe uv_poll_init(uv, timerPoll, timerDescriptor)
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe prepare.pointee.data = context
        unsafe idle.pointee.data = context
        unsafe timerPoll.pointee.data = context
        if polled == 0 {
            unsafe uv_prepare_start(prepare, turnEnded)
            unsafe uv_poll_start(timerPoll, Int32(UV_READABLE.rawValue), timerDescriptorReadable)
        } else {
            unsafe uv_close(UnsafeMutableRawPointer(prepare).assumingMemoryBound(to: uv_handle_t.self), nil)
            unsafe uv_close(UnsafeMutableRawPointer(idle).assumingMemoryBound(to: uv_handle_t.self), nil)
            unsafe uv_run(uv, UV_RUN_DEFAULT)
            unsafe uv_loop_close(uv)
            state = .closed
            throw UVError(code: polled, call: "uv_poll_init")
        }
    }

    /// Makes a loop on the simulated time and network of `host`, in place of the loop that the host had.
    ///
    /// The host's world runs it: ``run()`` and ``runOnce(waiting:)`` run the whole world.
    package init(simulated host: SimulatedHost) {
        (self.host, world) = (host, host.world)
        unsafe storage = .allocate(capacity: 1)
        unsafe prepare = .allocate(capacity: 1)
        unsafe idle = .allocate(capacity: 1)
        unsafe timerPoll = .allocate(capacity: 1)
        unsafe transmits.initialize(to: TransmitList())
        thread = uv_thread_self()
        cachedNow = host.world.now
        timerDescriptor = -1
        host.attach(self)
    }

    /// On simulated time, a loop for another worker of this loop's machine; nil for a loop of libuv.
    ///
    /// The workers' sockets at one address are as those of a ``DatagramGroup``.
    package func simulatedWorker(_ number: UInt8) -> Loop? { host.map { Loop(simulated: $0.addWorker(number)) } }

    deinit {
        // A loop that is still open here has no open handles and no jobs: an open handle retains its object, which
        // retains the loop, and so does a job.
        if state == .open { close() }
        if timerDescriptor >= 0 { Glibc.close(timerDescriptor) }
        unsafe transmits.deallocate()
        unsafe readBuffer.deallocate()
        unsafe timerPoll.deallocate()
        unsafe idle.deallocate()
        unsafe prepare.deallocate()
        unsafe storage.deallocate()
    }

    // MARK: - Time

    /// The monotonic time in nanoseconds, read at its first use in a turn, and again before timers fire.
    public var now: UInt64 {
        if isNowStale { refreshNow() }
        return cachedNow
    }

    /// Reads the clock again, and returns the new ``now``.
    @discardableResult
    public func refreshNow() -> UInt64 {
        cachedNow = if let host { host.world.now } else { uv_hrtime() }
        isNowStale = false
        return cachedNow
    }

    /// The wall clock in nanoseconds since 1970, at most in the year 2554.
    public var wallClock: UInt64 { if let host { host.wallClock } else { Self.systemClock() } }

    /// The system's wall clock in nanoseconds since 1970, at most in the year 2554.
    public static func systemClock() -> UInt64 { nanoseconds(of: CLOCK_REALTIME) }

    /// A clock in nanoseconds that runs on while the machine sleeps and cannot be set.
    public var runningClock: UInt64 { if let host { host.runningClock } else { Self.nanoseconds(of: CLOCK_BOOTTIME) } }

    /// The processor time in nanoseconds that this loop's thread has used since it began; 0 on simulated time.
    public var processorTime: UInt64 {
        assertOnThread()
        return host == nil ? Self.nanoseconds(of: CLOCK_THREAD_CPUTIME_ID) : 0
    }

    private static func nanoseconds(of clock: clockid_t) -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return nanoseconds(time.tv_sec, time.tv_nsec)
    }

    /// A moment in nanoseconds since 1970, within 0 and the largest 64-bit value.
    static func nanoseconds(_ seconds: Int, _ rest: Int) -> UInt64 {
        let (whole, overflows) = UInt64(max(0, seconds)).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carries) = whole.addingReportingOverflow(UInt64(max(0, rest)))
        return overflows || carries ? .max : sum
    }

    /// Whether this machine has a route to `address` now; see ``SocketAddress/hasRoute``.
    public func hasRoute(to address: SocketAddress) -> Bool {
        if let host { host.hasRoute(to: address) } else { address.hasRoute }
    }

    // MARK: - Running

    /// Runs turns until ``stop()``.
    public func run() {
        assertOnThread()
        precondition(state == .open, "a closed loop does not run")
        isNowStale = true
        if let host { return host.world.run() }
        unsafe uv_run(uv, UV_RUN_DEFAULT)
    }

    /// Runs one turn: waits for an event or timer if `waiting`, and ends with the turn's end.
    public func runOnce(waiting: Bool = false) {
        assertOnThread()
        precondition(state == .open, "a closed loop does not run")
        isNowStale = true
        if let host { return host.world.step(waiting: waiting) }
        unsafe uv_run(uv, waiting ? UV_RUN_ONCE : UV_RUN_NOWAIT)
        endTurn()
    }

    /// Makes ``run()`` return after the callbacks of the current turn.
    public func stop() {
        assertOnThread()
        if let host { return host.world.stop() }
        unsafe uv_stop(uv)
    }

    /// Makes the loop run one more turn without waiting.
    public func wake() {
        assertOnThread()
        guard state == .open else { return }
        if let host { return host.wake() }
        unsafe uv_idle_start(idle, idleTurn)
    }

    /// Closes all objects of the loop and waits for their close callbacks; nothing calls back after that.
    ///
    /// It must not be called while the loop runs; it has no effect the second time.
    public func close() {
        assertOnThread()
        guard state == .open else { return }
        state = .closing
        atTurnEnd = nil
        timers.removeAll()
        if let host {
            host.closeAll()
            state = .closed
            return
        }
        unsafe uv_walk(uv, closeOwner, nil)
        unsafe uv_close(UnsafeMutableRawPointer(prepare).assumingMemoryBound(to: uv_handle_t.self), nil)
        unsafe uv_close(UnsafeMutableRawPointer(idle).assumingMemoryBound(to: uv_handle_t.self), nil)
        unsafe uv_close(UnsafeMutableRawPointer(timerPoll).assumingMemoryBound(to: uv_handle_t.self), nil)
        while unsafe uv_loop_close(uv) == UV_EBUSY.rawValue {
            unsafe uv_run(uv, UV_RUN_DEFAULT)
            // Objects opened by a closing object are closed in the next round.
            unsafe uv_walk(uv, closeOwner, nil)
        }
        state = .closed
    }

    /// Whether ``close()`` has begun.
    public var isClosed: Bool { state != .open }

    /// Traps in debug builds on any thread except the loop's own.
    public func assertOnThread() {
        assert(
            {
                var (own, current) = (thread, uv_thread_self())
                return unsafe uv_thread_equal(&own, &current) != 0
            }(), "used outside of the loop's thread")
    }

    // MARK: - Turns

    /// Fires due timers, does the work at the end of the turn, sends the queued packets, and arms the timer descriptor
    /// for the next deadline.
    func endTurn() {
        guard state == .open else { return }
        fireTimers(until: refreshNow())
        atTurnEnd?()
        flushTransmits()
        if let host { host.arm(timers.settledFirstDeadline()) } else { armTimerDescriptor() }
        isNowStale = true
    }

    /// Sends the queued packets of every datagram socket; receive memory may be reused after that.
    func flushTransmits() {
        while let queue = unsafe transmits.pointee.first {
            unsafe transmits.pointee.first = queue.pointee.next
            unsafe queue.pointee.next = nil
            unsafe queue.pointee.isListed = false
            unsafe queue.pointee.flush()
        }
    }

    private func fireTimers(until time: UInt64) {
        while let timer = timers.popExpired(at: time) { timer.fire() }
    }

    private func armTimerDescriptor() {
        // If the first deadline has moved back, the descriptor fires too early: one extra turn, but no system call for
        // each change.
        let time = refreshNow()
        guard let first = timers.firstKey, !(armedDeadline > time && armedDeadline <= first) else { return }
        guard let deadline = timers.settledFirstDeadline() else { return }
        if deadline <= time {
            wake()
        } else if deadline != armedDeadline {
            armedDeadline = deadline
            let result = shim_timer_set(timerDescriptor, deadline)
            assert(result == 0, "timerfd_settime takes any time")
        }
    }

    fileprivate func timerDescriptorFired() {
        var count = UInt64(0)
        _ = unsafe read(timerDescriptor, &count, MemoryLayout<UInt64>.size)
        armedDeadline = .max
    }
}

/// An object retained by its open handle; `handle.data` is the object.
protocol HandleOwner: AnyObject {
    /// Closes the object's handles.
    func close()
}

private func closeOwner(_ handle: UnsafeMutablePointer<uv_handle_t>?, _ argument: UnsafeMutableRawPointer?) {
    guard let handle = unsafe handle, unsafe uv_is_closing(handle) == 0 else { return }
    guard let data = unsafe handle.pointee.data else { return }
    let owner = unsafe Unmanaged<AnyObject>.fromOpaque(data).takeUnretainedValue()
    (owner as? any HandleOwner)?.close()
}

private func turnEnded(_ handle: UnsafeMutablePointer<uv_prepare_t>?) {
    unsafe Unmanaged<Loop>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef { $0.endTurn() }
}

private func idleTurn(_ handle: UnsafeMutablePointer<uv_idle_t>?) {
    unsafe uv_idle_stop(handle)
}

private func timerDescriptorReadable(_ handle: UnsafeMutablePointer<uv_poll_t>?, _ status: Int32, _ events: Int32) {
    unsafe Unmanaged<Loop>.fromOpaque(handle!.pointee.data)._withUnsafeGuaranteedRef { $0.timerDescriptorFired() }
}

public import EventLoop

/// Receives the progress of a run.
public protocol BenchmarkWatcher: AnyObject {
    /// A measurement is running.
    ///
    /// The next line replaces this one.
    func progressed(_ line: String)
    /// A measurement has ended.
    ///
    /// The line stays.
    func measured(_ line: String)
}

/// One run: the measurements one after the other.
///
/// Each waits until the subject has processed the load of the one before.
public final class Benchmark {
    /// A kind of measurement.
    public enum Measurement: String, CaseIterable, Sendable {
        /// Throughput for each number of streams and direction.
        case throughput
        /// Round trips, idle and under load.
        case latency
        /// New connections per second.
        case connections
        /// The time to build a path.
        case builds
    }

    /// The measurements of a run and their parameters.
    public struct Plan: Sendable {
        /// The numbers of streams to measure throughput with.
        public var streams: [Int] = [1, 8, 64]
        /// The directions to measure throughput in.
        public var directions = Direction.allCases
        /// The window of each measurement, and the longest time without progress, in seconds.
        public var seconds = Plan.seconds(repeats: 3), patience = 20.0
        /// The number of windows of each measurement.
        ///
        /// Every measurement has its first window before any has its second.
        public var repeats = 3
        /// Whether each stream has its own SOCKS user name.
        public var isolates = false
        /// The kinds of measurement to run.
        public var measurements = Set(Measurement.allCases)
        /// The number of bulk streams during the round trips under load.
        public var besides = 8
        /// The number of new connections in flight.
        public var inFlight = 32
        /// The number of isolation keys that paths are built for.
        public var builds = 40

        /// The defaults.
        public init() {}

        /// The default window in seconds.
        ///
        /// The whole run takes about as long for any number of windows.
        public static func seconds(repeats: Int) -> Double { max(1, (10 / Double(repeats)).rounded(.down)) }

        /// The load before each window, in seconds.
        public var warmUp: Double { min(1, seconds / 2) }
    }

    /// The most streams at once.
    public static let streamLimit = 4_096
    /// A subject is at rest when it uses less than `cores` of CPU time per `interval`.
    ///
    /// A run waits at most `limit` for that.
    ///
    /// `interval` and `limit` are in seconds.
    private static let rest = (cores: 0.1, interval: 0.3, limit: 10.0)

    let watcher: any BenchmarkWatcher
    let loop: Loop
    let plan: Plan
    let route: Route
    let subject: (any Subject)?
    let farEnd: FarEnd?
    let target: ProxyTarget
    var report: BenchReport
    var meter: UsageMeter
    /// Keeps the objects of the current measurement alive.
    var current: [AnyObject] = []
    private var nextNumber: UInt32 = 1
    private var steps: [(@escaping () -> Void) -> Void] = []
    private let delay: Delay
    private var memoryTimer: LoopTimer?
    private var completion: ((BenchReport) -> Void)?

    /// A run along `route`.
    ///
    /// Without a target in the route, the run has its own far end on 127.0.0.1.
    ///
    /// `report` states the subject and settings. The run adds the figures to it.
    public init(
        on loop: Loop, _ plan: Plan, along route: Route, subject: (any Subject)?, report: BenchReport,
        watcher: any BenchmarkWatcher
    ) throws(UVError) {
        self.watcher = watcher
        self.loop = loop
        self.plan = plan
        self.route = route
        self.subject = subject
        self.report = report
        meter = UsageMeter(subject?.processes ?? [])
        farEnd = route.target == nil ? try FarEnd(on: loop, at: .loopbackIPv4(port: 0)) : nil
        guard let target = route.target ?? farEnd?.address.flatMap({ ProxyTarget($0.description) }) else {
            preconditionFailure("a listener has an address")
        }
        self.target = target
        delay = Delay(on: loop)
        memoryTimer = LoopTimer(on: loop) { [unowned self] in
            meter.sampleMemory()
            memoryTimer?.schedule(at: self.loop.now + 250_000_000)
        }
    }

    /// Starts the run.
    ///
    /// `completion` gets the report, with a fault in place of each figure that could not be measured.
    public func start(_ completion: @escaping (BenchReport) -> Void) {
        self.completion = completion
        if hasUsage { report.memory = .init(idle: meter.residentByRole, peak: [:]) }
        memoryTimer?.schedule(at: loop.now)
        steps = [measureFirst]
        // The measurements take turns, so a change in the machine's load affects all of them alike.
        for _ in 0..<plan.repeats { addRound() }
        next()
    }

    /// Adds one window of each measurement.
    private func addRound() {
        if plan.measurements.contains(.throughput) {
            for direction in plan.directions {
                for streams in plan.streams { steps.append { [unowned self] in measure(streams, direction, $0) } }
            }
        }
        if plan.measurements.contains(.latency) {
            steps.append { [unowned self] in measureLatency(besides: 0, $0) }
            steps.append { [unowned self] in measureLatency(besides: plan.besides, $0) }
        }
        if plan.measurements.contains(.connections) { steps.append { [unowned self] in measureConnections($0) } }
        if plan.measurements.contains(.builds), subject != nil {
            steps.append { [unowned self] in measureBuilds($0) }
        }
    }

    /// Ends the run.
    ///
    /// The completion is not called after this.
    public func close() {
        completion = nil
        steps = []
        delay.close()
        memoryTimer?.close()
        for one in current {
            (one as? Throughput)?.cancel()
            (one as? Fetches)?.cancel()
            (one as? PingThread)?.close()
        }
        current = []
        farEnd?.close()
    }

    /// Reserves `count` stream numbers that no other stream of this run has, and returns the first.
    func takeNumbers(_ count: Int) -> UInt32 {
        defer { nextNumber &+= UInt32(truncatingIfNeeded: count) }
        return nextNumber
    }

    // MARK: - Steps

    private func next() {
        guard !steps.isEmpty, report.fault == nil else { return finish() }
        let step = steps.removeFirst()
        meter = UsageMeter(subject?.processes ?? [])
        step { [unowned self] in
            addMemory()
            // The ended measurement is still on the stack here, so it is released in a later turn.
            after(0) { [unowned self] in
                current = []
                settle()
            }
        }
    }

    private func finish() {
        memoryTimer?.close()
        report.closeWindows()
        let completion = completion
        let report = report
        close()
        completion?(report)
    }

    func after(_ seconds: Double, _ next: @escaping () -> Void) {
        delay.schedule(next, at: loop.now + nanoseconds(seconds))
    }

    /// Waits until the subject is at rest, and so has emptied its queues.
    private func settle() {
        guard !steps.isEmpty, report.fault == nil else { return next() }
        watcher.progressed("waiting until the queues are empty")
        let began = loop.now
        var last = subjectSeconds
        func look() {
            let used = subjectSeconds - last
            last += used
            let waited = Double(loop.now - began) / 1e9
            if used < Self.rest.interval * Self.rest.cores || waited > Self.rest.limit { return next() }
            after(Self.rest.interval, look)
        }
        after(Self.rest.interval, look)
    }

    private var subjectSeconds: Double {
        (subject?.processes ?? []).reduce(0) { $0 + Double(ProcessUsage.cpuNanoseconds(of: $1.pid)) / 1e9 }
    }

    /// Whether the subject's CPU time and memory can be read: its processes are known, and there is a `/proc`.
    var hasUsage: Bool { subject != nil && ProcessUsage.isTold }

    private func addMemory() {
        guard report.memory != nil, meter.path != nil || subject?.processes.count == 1 else { return }
        report.memory?.peak.merge(meter.residentByRole) { max($0, $1) }
    }

    /// Asks for the path now and again when the returned closure is called.
    ///
    /// The meter keeps the path if both are equal.
    func followPath() -> (@escaping () -> Void) -> Void {
        guard let subject else { return { $0() } }
        var first: [String]?
        subject.askPath { first = $0 }
        return { [unowned self] done in
            subject.askPath { [weak self] last in
                self?.meter.took(path: first, last)
                done()
            }
        }
    }
}

/// One delayed call.
///
/// A later one replaces it.
private final class Delay {
    private var timer: LoopTimer?
    private var next: () -> Void = {}

    init(on loop: Loop) {
        timer = LoopTimer(on: loop) { [unowned self] in
            let next = next
            self.next = {}
            next()
        }
    }

    /// Calls `next` at `time` on the loop's clock, in nanoseconds.
    func schedule(_ next: @escaping () -> Void, at time: UInt64) {
        self.next = next
        timer?.schedule(at: time)
    }

    func close() { timer?.close() }
}

public import EventLoop

/// Who is told how far a run is.
public protocol BenchmarkWatcher: AnyObject {
    /// Something is being measured: a line that the next one replaces.
    func progressed(_ line: String)
    /// Something has been measured: a line that stays.
    func measured(_ line: String)
}

/// One run: all measurements one after the other, each when what the one before left behind is worked off.
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

    /// What to measure.
    public struct Plan: Sendable {
        /// Numbers of streams.
        public var streams: [Int] = [1, 8, 64]
        /// Which way.
        public var directions = Direction.allCases
        /// The window of each measurement in seconds, and how long anything may stand still.
        public var seconds = Plan.seconds(repeats: 3), patience = 20.0
        /// How many windows each measurement has; they take turns.
        public var repeats = 3
        /// Whether each stream has a SOCKS user name of its own.
        public var isolates = false
        /// What to measure.
        public var measurements = Set(Measurement.allCases)
        /// Bulk streams beside the round trips under load.
        public var besides = 8
        /// New connections at a time.
        public var inFlight = 32
        /// Isolation keys that paths are built for.
        public var builds = 40

        /// The defaults.
        public init() {}

        /// The window where none is asked for: that of a whole run is about the same for each number of windows.
        public static func seconds(repeats: Int) -> Double { max(1, (10 / Double(repeats)).rounded(.down)) }

        /// The load before a window in seconds.
        public var warmUp: Double { min(1, seconds / 2) }
    }

    /// The most streams at once.
    public static let streamLimit = 4_096
    /// How little CPU time per second, in cores, a subject at rest uses; and how long to wait for that.
    private static let rest = (cores: 0.1, interval: 0.3, limit: 10.0)

    /// Who is told how far it is.
    let watcher: any BenchmarkWatcher
    let loop: Loop
    let plan: Plan
    let route: Route
    let subject: (any Subject)?
    let farEnd: FarEnd?
    let target: Target
    var report: BenchReport
    var meter: UsageMeter
    /// What is being measured, to keep it.
    var current: [AnyObject] = []
    private var nextNumber: UInt32 = 1
    private var steps: [(@escaping () -> Void) -> Void] = []
    private let delay: Delay
    private var memoryTimer: LoopTimer?
    private var completion: ((BenchReport) -> Void)?

    /// A run along `route`, with a far end of its own on 127.0.0.1 where the route names none.
    ///
    /// `report` says what is measured; the figures are added to it.
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
        guard let target = route.target ?? farEnd?.address.flatMap({ Target($0.description) }) else {
            preconditionFailure("a listener has an address")
        }
        self.target = target
        delay = Delay(on: loop)
        memoryTimer = LoopTimer(on: loop) { [unowned self] in
            meter.sampleMemory()
            memoryTimer?.schedule(at: self.loop.now + 250_000_000)
        }
    }

    /// Begins; `completion` gets the report, with a fault in place of what could not be measured.
    public func start(_ completion: @escaping (BenchReport) -> Void) {
        self.completion = completion
        if hasUsage { report.memory = .init(idle: meter.residentByRole, peak: [:]) }
        memoryTimer?.schedule(at: loop.now)
        steps = [measureFirst]
        // What changes with time touches all measurements alike.
        for _ in 0..<plan.repeats { addRound() }
        next()
    }

    /// Adds a window of each measurement.
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

    /// Ends everything; the completion is not called any more.
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

    /// Numbers for so many streams, which no others of this run have.
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
            // What has ended is let go of when nothing of it is on the stack any more.
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

    /// Waits until the subject has worked off what is in its queues.
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

    /// Whether CPU time and memory of the subject are told: its processes are known, and there is a `/proc`.
    var hasUsage: Bool { subject != nil && ProcessUsage.isTold }

    private func addMemory() {
        guard report.memory != nil, meter.path != nil || subject?.processes.count == 1 else { return }
        report.memory?.peak.merge(meter.residentByRole) { max($0, $1) }
    }

    /// Asks for the path, now and when the returned closure is called, and tells the meter whether it stayed the same.
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

/// One call at a later time; a later one takes its place.
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

    /// Calls `next` at `time` of the loop's clock.
    func schedule(_ next: @escaping () -> Void, at time: UInt64) {
        self.next = next
        timer?.schedule(at: time)
    }

    func close() { timer?.close() }
}

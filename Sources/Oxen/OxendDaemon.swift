public import Directory
internal import EventLoop
internal import Glibc
public import Logging
internal import Synchronization
public import Wire

/// The settings of a node's daemon: its address and the times of calls.
public struct OxendConfiguration: Sendable {
    /// The daemon's address.
    public var address: OxendAddress
    /// The network of the snapshots.
    public var network: Bytes32
    /// The node that runs beside the daemon, and pings it.
    public var node: NodeID
    /// Blocks between two snapshots: equal at all nodes of the network.
    public var epochBlocks: UInt64
    /// The version reported to the daemon, which compares it with its minimum for a router.
    public var version: [UInt16] = [0, 9, 14]
    /// The time between two pings.
    public var pingInterval = TimeSpan.seconds(30)
    /// The time between two requests for the list; most are answered with "unchanged".
    public var pollInterval = TimeSpan.seconds(10)
    /// The time after which the failure of a node that stays dead is reported again.
    ///
    /// The daemon forgets a failure after five minutes, of which a silent daemon can take one.
    public var failureInterval = TimeSpan.seconds(120)
    /// How long a node must have been unable to serve before the daemon is told.
    public var problemPatience = TimeSpan.seconds(600)
    /// How long a daemon may give no good answer before the state changes.
    public var silencePatience = TimeSpan.seconds(3600)
    /// The longest time for a list, which is large, and for any other answer.
    public var timeout = (list: TimeSpan.seconds(60), other: TimeSpan.seconds(15))

    /// The defaults for a node beside the daemon at `address`.
    public init(address: OxendAddress, network: Bytes32, node: NodeID, epochBlocks: UInt64) {
        self.address = address
        self.network = network
        self.node = node
        self.epochBlocks = epochBlocks
    }

    /// Divides all times by `factor`, for tests.
    ///
    /// None becomes shorter than 0.2 s, and the time for an answer not shorter than 2 s, which a busy machine needs.
    public mutating func speedUp(by factor: Int64) {
        func quick(_ time: TimeSpan, least: TimeSpan = .milliseconds(200)) -> TimeSpan {
            max(TimeSpan(nanoseconds: time.nanoseconds / max(1, factor)), least)
        }
        pingInterval = quick(pingInterval)
        pollInterval = quick(pollInterval)
        failureInterval = quick(failureInterval)
        problemPatience = quick(problemPatience)
        silencePatience = quick(silencePatience)
        timeout = (quick(timeout.list, least: .seconds(2)), quick(timeout.other, least: .seconds(2)))
    }
}

/// The registry of an oxend daemon, and the node's duties to the daemon: pings and reports of test results.
///
/// All calls run on a separate thread, so that neither a slow daemon nor a list of thousands of nodes delays packets.
/// Any thread may use this object. The last good state remains whatever the daemon does.
public final class OxendDaemon: RegistrySource, Sendable {
    /// The most results that wait to be reported.
    private static let reportLimit = 4_096

    /// The state shared by the threads.
    struct Shared {
        var status: OxendStatus
        var lastGood: Instant
        var snapshot: Snapshot?
        var serviceKeys: [NodeID: String] = [:]
        var reports: [NodeID: Bool] = [:]
        var problem: (text: String, since: Instant)?
        var waker: UInt = 0
        var isStopping = false
    }

    /// The settings.
    public let configuration: OxendConfiguration
    let log: Logger
    let shared: Mutex<Shared>
    private let thread = Mutex<pthread_t?>(nil)

    /// A daemon before its first call.
    public init(_ configuration: OxendConfiguration, log: Logger) {
        self.configuration = configuration
        self.log = log
        var status = OxendStatus(address: configuration.address.description)
        status.patience = configuration.silencePatience
        shared = Mutex(Shared(status: status, lastGood: Self.now))
    }

    /// The time of the monotonic clock, as in loops.
    static var now: Instant {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    // MARK: The thread

    /// Starts the calls; throws if libcurl is missing or no thread can be started.
    public func start() throws {
        try start { worker, thread in
            let context = unsafe Unmanaged.passRetained(worker)
            let result = unsafe pthread_create(&thread, nil, workerMain, context.toOpaque())
            if result != 0 { unsafe context.release() }
            return result
        }
    }

    /// The same with `create`, which starts the worker's thread and returns 0, or an error.
    func start(by create: (OxendWorker, inout pthread_t) -> Int32) throws {
        let connection = try OxendConnection(configuration.address)
        shared.withLock { $0.waker = connection.waker }
        let worker = OxendWorker(daemon: self, connection: connection)
        try thread.withLock { thread in
            var started = pthread_t()
            let result = create(worker, &started)
            guard result == 0 else {
                // The connection ends here, so it must not be woken any more.
                shared.withLock { $0.waker = 0 }
                throw UVError(code: result, call: "pthread_create")
            }
            thread = started
        }
    }

    /// Stops the running calls and the thread; returns after the thread has ended.
    public func stop() {
        shared.withLock {
            $0.isStopping = true
            OxendConnection.wake($0.waker)
        }
        let ended = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        if let ended { _ = pthread_join(ended, nil) }
    }

    // MARK: The node's side

    /// The newest snapshot of the chain if it is above `height`; it has no signatures.
    public func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot? {
        guard let newest = shared.withLock({ $0.snapshot }), newest.height > height else { return nil }
        return SignedSnapshot(newest)
    }

    /// A problem with the daemon that has lasted so long that the operator must know.
    public var problem: (any RegistrySourceProblem)? { status.problem }

    /// The present state of the daemon.
    public var status: OxendStatus {
        shared.withLock { shared in
            var status = shared.status
            status.silence = Self.now - shared.lastGood
            return status
        }
    }

    /// Sets the reason why the node cannot serve, or nil; the daemon is told if it lasts.
    public func setProblem(_ problem: String?) {
        shared.withLock { shared in
            guard let problem else { return shared.problem = nil }
            shared.problem = (problem, shared.problem?.since ?? Self.now)
        }
    }

    /// Reports to the daemon whether `node` has passed this node's test; of several for one node the last one is sent.
    public func report(_ node: NodeID, passed: Bool) {
        shared.withLock { shared in
            guard shared.reports[node] != nil || shared.reports.count < Self.reportLimit else { return }
            shared.reports[node] = passed
            OxendConnection.wake(shared.waker)
        }
    }
}

private func workerMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context = unsafe context { unsafe Unmanaged<OxendWorker>.fromOpaque(context).takeRetainedValue().run() }
    return nil
}

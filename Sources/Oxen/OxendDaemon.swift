public import Directory
internal import EventLoop
internal import Glibc
public import Logging
internal import Synchronization
public import Wire

/// What a node tells its daemon and how often.
public struct OxendConfiguration: Sendable {
    /// Where the daemon is.
    public var address: OxendAddress
    /// The network that the snapshots are of.
    public var network: Bytes32
    /// The node itself.
    public var node: NodeID
    /// Blocks between two snapshots: equal at all nodes of the network.
    public var epochBlocks: UInt64
    /// What the daemon compares with the least version of a router that it wants beside it.
    public var version: [UInt16] = [0, 9, 14]
    /// Between two pings.
    public var pingInterval = TimeSpan.seconds(30)
    /// Between two questions for the list; most are answered with "unchanged".
    public var pollInterval = TimeSpan.seconds(10)
    /// How long a node must have been unable to serve before the daemon is told.
    public var problemPatience = TimeSpan.seconds(600)
    /// How long a daemon without a good answer changes nothing.
    public var silencePatience = TimeSpan.seconds(3600)
    /// How long a list may take, which is long, and any other answer.
    public var timeout = (list: TimeSpan.seconds(60), other: TimeSpan.seconds(15))

    /// The defaults for a node beside the daemon at `address`.
    public init(address: OxendAddress, network: Bytes32, node: NodeID, epochBlocks: UInt64) {
        self.address = address
        self.network = network
        self.node = node
        self.epochBlocks = epochBlocks
    }

    /// Makes all times so many times as short, so that a test sees in seconds what takes an hour.
    ///
    /// None gets below 0.2 s, and the time for an answer not below 2 s, which a busy machine needs.
    public mutating func hurry(by factor: Int64) {
        func quick(_ time: TimeSpan, least: TimeSpan = .milliseconds(200)) -> TimeSpan {
            max(TimeSpan(nanoseconds: time.nanoseconds / max(1, factor)), least)
        }
        pingInterval = quick(pingInterval)
        pollInterval = quick(pollInterval)
        problemPatience = quick(problemPatience)
        silencePatience = quick(silencePatience)
        timeout = (quick(timeout.list, least: .seconds(2)), quick(timeout.other, least: .seconds(2)))
    }
}

/// The registry of an oxend daemon, and what a node owes the daemon: pings and the results of its tests.
///
/// All calls run on a thread of its own, so that neither a slow daemon nor a list of thousands of nodes holds up a packet. Any
/// thread may use this object. The last good state stays whatever the daemon does.
public final class OxendDaemon: RegistrySource, Sendable {
    /// The most results that wait to be reported.
    private static let reportLimit = 4_096

    /// What the threads share.
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

    let configuration: OxendConfiguration
    let log: Logger
    let shared: Mutex<Shared>
    private let thread = Mutex<pthread_t?>(nil)

    /// A daemon that is not asked yet.
    public init(_ configuration: OxendConfiguration, log: Logger) {
        self.configuration = configuration
        self.log = log
        var status = OxendStatus(address: configuration.address.description)
        status.patience = configuration.silencePatience
        shared = Mutex(Shared(status: status, lastGood: Self.now))
    }

    /// The monotonic clock, as loops have it.
    static var now: Instant {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    // MARK: The thread

    /// Begins to ask; throws when libcurl is missing or there can be no thread.
    public func start() throws {
        let connection = try OxendConnection(configuration.address)
        shared.withLock { $0.waker = connection.waker }
        let worker = OxendWorker(daemon: self, connection: connection)
        let context = unsafe Unmanaged.passRetained(worker)
        try thread.withLock { thread in
            var started = pthread_t()
            let result = unsafe pthread_create(&started, nil, workerMain, context.toOpaque())
            guard result == 0 else {
                unsafe context.release()
                throw UVError(code: result, call: "pthread_create")
            }
            thread = started
        }
    }

    /// Ends the calls that are under way and the thread; returns when it is gone.
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

    // MARK: What a node asks and says

    /// The newest snapshot that the chain gives, when it is above `height`; nobody has signed it.
    public func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot? {
        guard let newest = shared.withLock({ $0.snapshot }), newest.height > height else { return nil }
        return SignedSnapshot(newest)
    }

    /// What is wrong with the daemon since so long that its operator must know.
    public var problem: String? { status.problem.map { $0.hasSuffix(".") ? String($0.dropLast()) : $0 } }

    /// What is known of the daemon now.
    public var status: OxendStatus {
        shared.withLock { shared in
            var status = shared.status
            status.silence = Self.now - shared.lastGood
            return status
        }
    }

    /// Says what keeps the node from serving, or that nothing does; the daemon hears of it when it lasts.
    public func setProblem(_ problem: String?) {
        shared.withLock { shared in
            guard let problem else { return shared.problem = nil }
            shared.problem = (problem, shared.problem?.since ?? Self.now)
        }
    }

    /// Has the daemon told whether `node` has passed this node's test; of several for one node the last counts.
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

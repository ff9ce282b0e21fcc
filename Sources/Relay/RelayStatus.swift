public import Directory
internal import EventLoop
public import Wire

/// The configuration of a relay.
public struct RelayConfiguration: Sendable {
    /// The UDP addresses to listen on, one per address family.
    ///
    /// For port 0 the system chooses the port.
    public var listen: [Endpoint]
    /// The addresses that the descriptor announces, one per address family.
    ///
    /// If empty, the addresses it listens on.
    public var announced: [Endpoint] = []
    /// Whether the node is an exit.
    public var isExit = false
    /// Special ranges (private, loopback and the like) that the exit opens.
    public var exitAllowed: [CIDR] = []
    /// The name servers that an exit asks, as `host` or `host:port`; nil for those of the system.
    public var exitResolvers: [String]?
    /// The registry file that the authorities sign, if the stakes come from it.
    public var registryFile: String?
    /// The operator's further rules for destinations.
    ///
    /// The first rule that matches decides.
    public var exitRules: [ExitRule] = []
    /// Two capital letters, by which clients can choose the node.
    public var country: String?
    /// The most bytes sent per second (0: no limit), and at once after a pause (0: one second of the rate).
    public var rate: Int64 = 0, burst: Int64 = 0
    /// The longest time that a drain waits for paths and streams to end.
    public var drainLimit = TimeSpan.seconds(30)

    /// The bytes of items that the node offers to the swarm store.
    public var storeQuota: UInt64 = 20_000_000_000
    /// The bytes a second at which the items of shards that the node joins are fetched; 0: half of `rate`, or 6.25 MB.
    public var storeRecovery: UInt64 = 0

    /// How many workers the relay has, each with a thread: 1 to ``mostWorkers``.
    public var workers = 1
    /// The most workers.
    public static var mostWorkers: Int { DatagramGroup.mostWorkers }

    /// The most sessions that an exit serves at once.
    var exitSessions = SessionHost.sessionLimit

    /// The defaults, with `listen` as the addresses to listen on.
    public init(listen: [Endpoint]) { self.listen = listen }
}

/// The state of a relay, as aggregates only: nothing about any single path, client or destination.
///
/// It has more members than most types: one for each figure.
public struct RelayStatus: Sendable {
    /// The node's id.
    public var nodeID: NodeID
    /// The addresses on which it listens, IPv4 first.
    public var addresses: [Endpoint]
    /// Whether the node is an exit.
    public var isExit: Bool
    /// Whether the relay serves; if not, `problem` has the reason.
    public var isReady: Bool
    /// The problem that its operator must know of.
    public var problem: RelayProblem?
    /// Whether the relay accepts no new paths, because it drains or rests.
    public var isDraining: Bool
    /// The number of links that are up.
    public var links: Int
    /// The number of paths that it carries.
    public var paths: Int
    /// The number of sessions that end here.
    public var sessions: Int
    /// The number of open streams to the outside.
    public var streams: Int
    /// The number of UDP associations among them.
    public var associations: Int
    /// The number of descriptors held.
    public var descriptors: Int
    /// The trusted snapshot.
    public var snapshot: SnapshotStatus
    /// The problem with the registry.
    public var registryProblem: RegistryProblem?
    /// The packets received and sent.
    public var packetsIn: UInt64, packetsOut: UInt64
    /// The bytes received and sent, in whole datagrams.
    public var bytesIn: UInt64, bytesOut: UInt64
    /// The dropped packets by reason, without reasons that did not occur.
    public var drops: [String: UInt64]
    /// The builds accepted here, and those refused, by reason.
    public var builds: UInt64, refusals: [String: UInt64]
    /// The counters of onion requests.
    public var requests: RelayRequestStatus
    /// The swarm store; nil if the network has none.
    public var store: RelayStoreStatus?
    /// The results of watching other nodes.
    public var watching: WatchingStatus
    /// The figures of each worker, worker 0 first; empty where there is only one.
    public var workers: [WorkerStatus]
}

/// The figures of one worker of a relay.
public struct WorkerStatus: Sendable {
    /// The share of the last second in which its thread used a processor: 0 to 1.
    public var load: Double
    /// The packets received and sent.
    public var packetsIn: UInt64, packetsOut: UInt64
    /// The packets that came to it and that it handed to another worker.
    public var handedOn: UInt64
}

/// The counters of onion requests at a relay.
public struct RelayRequestStatus: Sendable {
    /// Requests of its sessions: received, answered by their targets, and refused here.
    public var asked: UInt64, answered: UInt64, refused: UInt64
    /// Requests of its sessions that wait for an answer.
    public var pending: Int
    /// Requests of other nodes: received, answered, rejected as busy, and unreadable or repeated.
    public var received: UInt64, answeredHere: UInt64, busy: UInt64, bad: UInt64
    /// Requests of other nodes that wait for an answer.
    public var pendingHere: Int
}

/// The state of a relay's part of the swarm store.
public struct RelayStoreStatus: Sendable {
    /// The shards that it holds, and those of them that lack nothing.
    public var shards: Int, complete: Int
    /// Items and tombstones on the disk, their bytes, and the bytes that they may have.
    public var items: Int, bytes: Int, quota: UInt64
    /// Service descriptors, which are in memory.
    public var descriptors: Int
    /// Receipts that it has signed; requests and copies that it has refused.
    public var receipts: UInt64, refusals: UInt64
    /// Comparisons that it has begun; copies that they brought to it, and to others.
    public var comparisons: UInt64, fetched: UInt64, brought: UInt64
    /// Items whose bytes on the disk had changed.
    public var damaged: UInt64
}

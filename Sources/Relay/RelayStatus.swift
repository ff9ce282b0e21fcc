public import Directory
public import Wire

/// What a relay is told at its start.
public struct RelayConfiguration: Sendable {
    /// The UDP addresses to listen on, one per address family; port 0 picks a free one.
    public var listen: [Endpoint]
    /// What the descriptor announces, one per address family; empty: the addresses it listens on.
    public var announced: [Endpoint] = []
    /// Whether streams may leave here.
    public var isExit = false
    /// Ranges that the exit opens although they are special (private, loopback and the like).
    public var exitAllowed: [CIDR] = []
    /// The name servers that an exit asks, as `host` or `host:port`; nil for the system's.
    public var exitResolvers: [String]?
    /// The file of the registry that authorities sign, where that is where stakes are learnt.
    public var registryFile: String?
    /// What the operator opens and closes beyond that, the first rule that fits first.
    public var exitRules: [ExitRule] = []
    /// Two capital letters by which clients can choose the node.
    public var country: String?
    /// How many bytes a second are sent at most, and how many at once after a pause; 0: no limit, and a second's worth.
    public var rate: Int64 = 0, burst: Int64 = 0
    /// How long a drain waits for paths and streams to end by themselves.
    public var drainLimit = TimeSpan.seconds(30)

    /// How many sessions an exit serves at once.
    var exitSessions = SessionHost.sessionLimit

    /// The defaults, listening on `listen`.
    public init(listen: [Endpoint]) { self.listen = listen }
}

/// What a relay is doing: aggregates only, nothing about any one path, client or destination.
public struct RelayStatus: Sendable {
    /// The node's id.
    public var nodeID: NodeID
    /// Where it listens, IPv4 first.
    public var addresses: [Endpoint]
    /// Whether it is an exit.
    public var isExit: Bool
    /// Whether it serves; otherwise `problem` says why not.
    public var isReady: Bool
    /// What keeps it from serving, in one sentence.
    public var problem: String?
    /// Whether it is waiting for its paths to end.
    public var isDraining: Bool
    /// Links that are up.
    public var links: Int
    /// Paths that it carries.
    public var paths: Int
    /// Sessions that end here.
    public var sessions: Int
    /// Streams to the outside that are open.
    public var streams: Int
    /// UDP associations among them.
    public var associations: Int
    /// Descriptors held.
    public var descriptors: Int
    /// The snapshot that it trusts.
    public var snapshot: SnapshotStatus
    /// What is wrong with where it learns of stakes, in one sentence.
    public var registryProblem: String?
    /// Packets received and sent.
    public var packetsIn: UInt64, packetsOut: UInt64
    /// Bytes received and sent, whole datagrams.
    public var bytesIn: UInt64, bytesOut: UInt64
    /// Dropped packets by reason; only reasons that occurred.
    public var drops: [String: UInt64]
    /// Builds accepted here, and refused by reason.
    public var builds: UInt64, refusals: [String: UInt64]
    /// What has become of onion requests.
    public var requests: RelayRequestStatus
    /// What its watching of others has come to.
    public var watching: WatchingStatus
}

/// What has become of onion requests at a relay.
public struct RelayRequestStatus: Sendable {
    /// Requests of its sessions: brought, answered by their targets, and refused here.
    public var asked: UInt64, answered: UInt64, refused: UInt64
    /// Those that wait for an answer.
    public var pending: Int
    /// Requests of other nodes: brought, answered, turned away as busy, and unreadable or repeated.
    public var received: UInt64, answeredHere: UInt64, busy: UInt64, bad: UInt64
    /// Those that wait for an answer.
    public var pendingHere: Int
}

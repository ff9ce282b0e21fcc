/// What a client or relay is doing: aggregates only, nothing about any one peer, path or destination.
public struct StatusReport: Codable, Equatable, Sendable {
    /// What a process is in the network.
    public enum Role: String, Codable, Sendable {
        /// It builds paths.
        case client
        /// It is a hop of others' paths.
        case relay
    }

    /// Counters of packets and bytes, or what they grew by in a second.
    public struct Traffic: Codable, Equatable, Sendable {
        /// Packets received.
        public var packetsIn: UInt64
        /// Packets sent.
        public var packetsOut: UInt64
        /// Bytes received, whole datagrams.
        public var bytesIn: UInt64
        /// Bytes sent, whole datagrams.
        public var bytesOut: UInt64

        enum CodingKeys: String, CodingKey {
            case packetsIn = "packets_in"
            case packetsOut = "packets_out"
            case bytesIn = "bytes_in"
            case bytesOut = "bytes_out"
        }

        /// The four numbers, zero where not given.
        public init(packetsIn: UInt64 = 0, packetsOut: UInt64 = 0, bytesIn: UInt64 = 0, bytesOut: UInt64 = 0) {
            self.packetsIn = packetsIn
            self.packetsOut = packetsOut
            self.bytesIn = bytesIn
            self.bytesOut = bytesOut
        }
    }

    /// What the process is.
    public var role: Role
    /// The version of the program.
    public var version: String
    /// How long it has run, in seconds.
    public var uptime: Double = 0
    /// Whether it serves.
    public var ready = false
    /// Why it does not, in one sentence; nil when it does.
    public var problem: String?
    /// Where a client's SOCKS5 ports listen.
    public var socks: [String] = []
    /// What a client's configuration says of each of its ports beside the address.
    public var socksFlags: [[String]]?
    /// Where a client answers DNS, if anywhere.
    public var dns: [String]?
    /// A relay's own id.
    public var node: String?
    /// Where a relay listens.
    public var addresses: [String]?
    /// Whether a relay is an exit.
    public var exit: Bool?
    /// Whether a relay waits for its paths to end.
    public var draining: Bool?
    /// Links that are up.
    public var links = 0
    /// Paths: a client's ready ones, or those that a relay carries.
    public var paths = 0
    /// Sessions.
    public var sessions = 0
    /// Open streams.
    public var streams = 0
    /// UDP associations among them.
    public var associations: Int?
    /// Nodes whose descriptor is known.
    public var descriptors = 0
    /// The snapshot of the network that is trusted.
    public var snapshot: SnapshotReport?
    /// Packets and bytes since the start.
    public var total = Traffic()
    /// Packets and bytes per second, over the last ten seconds.
    public var rate = Traffic()
    /// Dropped packets by reason.
    public var drops: [String: UInt64] = [:]
    /// Paths that were built by this client, or with this relay as a hop.
    public var builds: UInt64 = 0
    /// Builds of a client that failed.
    public var failedBuilds: UInt64?
    /// Builds that a relay refused, by reason.
    public var refusals: [String: UInt64]?
    /// What a relay beside an oxend daemon knows of it.
    public var oxend: OxendReport?
    /// How a relay stands in the ledger's registry.
    public var registry: RegistryReport?
    /// What a relay's tests of other nodes have come to.
    public var watching: WatchingReport?
    /// How long a client's last builds took in milliseconds, newest last.
    public var buildTimes: [Double]?
    /// The steps of a client's start, in their order.
    public var progress: [ProgressStep]?
    /// What a relay sends and receives in a month.
    public var accounting: Accounting?
    /// The other role of a process that is client and relay.
    public var others: [StatusReport]?

    enum CodingKeys: String, CodingKey {
        case role, version, ready, problem, socks, dns, node, addresses, exit, draining, links, paths, sessions, streams
        case associations, descriptors, snapshot, total, rate, drops, builds, refusals, oxend, watching, others,
            registry
        case accounting, progress
        case socksFlags = "socks_flags"
        case uptime = "uptime_s"
        case failedBuilds = "failed_builds"
        case buildTimes = "build_times_ms"
    }

    /// A report of a process that does nothing yet.
    public init(role: Role, version: String) {
        self.role = role
        self.version = version
    }
}

/// A relay's bytes of a month.
public struct Accounting: Codable, Equatable, Sendable {
    /// When the month began, in seconds since 1970.
    public var since: UInt64
    /// Bytes sent and received since then.
    public var bytes: UInt64
    /// How many a month may have; nil: no limit.
    public var limit: UInt64?

    /// These figures.
    public init(since: UInt64, bytes: UInt64, limit: UInt64?) {
        self.since = since
        self.bytes = bytes
        self.limit = limit
    }
}

/// A step of a start.
public struct ProgressStep: Codable, Equatable, Sendable {
    /// What is reached with it.
    public var step: String
    /// Whether it is.
    public var done: Bool

    /// A step.
    public init(_ step: String, done: Bool) {
        self.step = step
        self.done = done
    }
}

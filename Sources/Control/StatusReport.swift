/// The state of a client or relay: aggregates only, nothing about any single peer, path or destination.
public struct StatusReport: Codable, Equatable, Sendable {
    /// The role of a process in the network.
    public enum Role: String, Codable, Sendable {
        /// It builds paths.
        case client
        /// It is a hop of others' paths.
        case relay
    }

    /// Counters of packets and bytes, or their growth in a second.
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

        /// The four numbers, zero by default.
        public init(packetsIn: UInt64 = 0, packetsOut: UInt64 = 0, bytesIn: UInt64 = 0, bytesOut: UInt64 = 0) {
            self.packetsIn = packetsIn
            self.packetsOut = packetsOut
            self.bytesIn = bytesIn
            self.bytesOut = bytesOut
        }
    }

    /// The role of the process.
    public var role: Role
    /// The version of the program.
    public var version: String
    /// How long it has run, in seconds.
    public var uptime: Double = 0
    /// Whether it is ready.
    public var ready = false
    /// Why it is not ready, in one sentence; nil if it is.
    public var problem: String?
    /// The addresses of a client's proxy ports.
    public var socks: [String] = []
    /// The flags of each of a client's ports in the configuration.
    public var socksFlags: [[String]]?
    /// The addresses at which a client answers DNS.
    public var dns: [String]?
    /// A relay's own id.
    public var node: String?
    /// The addresses on which a relay listens.
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
    /// UDP associations among the streams.
    public var associations: Int?
    /// Nodes whose descriptors are known.
    public var descriptors = 0
    /// The trusted snapshot.
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
    /// The report about a relay's oxend daemon.
    public var oxend: OxendReport?
    /// A relay's state in the ledger's registry.
    public var registry: RegistryReport?
    /// The results of a relay's tests of other nodes.
    public var watching: WatchingReport?
    /// The last build times of a client in milliseconds, newest last.
    public var buildTimes: [Double]?
    /// The steps of a client's start, in their order.
    public var progress: [ProgressStep]?
    /// A relay's traffic in the month.
    public var accounting: Accounting?
    /// The other role of a process with both.
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

    /// The report of a process that has done nothing yet.
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
    /// The limit of a month; nil: no limit.
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
    /// The state reached by the step.
    public var step: String
    /// Whether the step is done.
    public var done: Bool

    /// A step.
    public init(_ step: String, done: Bool) {
        self.step = step
        self.done = done
    }
}

public import Directory
public import Wire

/// The configuration of a client.
public struct ClientConfiguration: Sendable {
    /// The addresses at which apps can connect, with their isolation.
    public var listeners: [ProxyListener]
    /// The loopback addresses at which DNS is answered, over UDP and TCP.
    public var dns: [Endpoint] = []
    /// How long an app may take to send its request.
    public var handshakeLimit = TimeSpan.seconds(30)
    /// How many apps may be connected at once.
    ///
    /// At the limit an app that may be gone or an unfinished handshake gives way; if there is none, the new app is
    /// refused.
    public var appLimit = 8_192
    /// How long a UDP association lives without a datagram.
    public var udpIdle = TimeSpan.seconds(300)
    /// How many hops a path has, 1 to 4.
    public var hops = 3
    /// How long a path is used at most before another takes its place; each path draws three quarters of it or more.
    ///
    /// Hops forget a path after 1,200 s.
    public var pathUse = TimeSpan.seconds(900)
    /// How many ready paths without a session are kept.
    public var sparePaths = 2
    /// The exits that may be used; empty: all.
    public var exits = NodeChoice()
    /// Nodes that no path uses.
    public var avoided = NodeChoice()
    /// This machine's own nodes, which no path uses either.
    public var own: Set<NodeID> = []
    /// How often the exits are tried if some were chosen; zero: never.
    public var exitCheck = TimeSpan.seconds(60)

    /// The defaults, with the proxy addresses `socks`.
    public init(socks: [ProxyAddress]) { listeners = socks.map { ProxyListener($0) } }

    /// The addresses of ``listeners``.
    public var socks: [ProxyAddress] { listeners.map(\.address) }
}

/// A step of a client's start, in order, with the text for its user.
public enum StartStep: String, Sendable {
    /// A node has answered.
    case networkFound = "network found"
    /// The snapshot is trusted, and enough of the network is known.
    case snapshotVerified = "snapshot verified"
    /// The link to a guard is up.
    case guardsLinked = "guards linked"
    /// A path is ready.
    case pathsReady = "paths ready"
}

/// One path of a client.
public struct PathStatus: Sendable {
    /// The state of a path.
    public enum State: String, Sendable {
        /// Being built.
        case building
        /// Usable.
        case ready
        /// Ended.
        case dead
    }

    /// The nodes in order, guard first.
    public var hops: [NodeID]
    /// The state of the path.
    public var state: State
    /// Whether the path carries a session's data.
    public var isActive: Bool
    /// How long ago the path was built, or its build began.
    public var age: TimeSpan
    /// The smoothed round-trip time of the link to the guard.
    public var guardRoundTrip: TimeSpan?
    /// The smoothed round-trip time to the exit; nil until something has come back over the path.
    public var roundTrip: TimeSpan?
    /// How long the build took.
    public var buildTime: TimeSpan?
    /// Bytes of packets received and sent over the path.
    public var bytesIn: UInt64, bytesOut: UInt64
}

/// The state of a client: aggregates only, without destinations and credentials.
///
/// It has more members than most types: one for each figure.
public struct ClientStatus: Sendable {
    /// The addresses at which apps can connect.
    public var socks: [ProxyAddress]
    /// The flags of each address, in configuration-file syntax.
    public var socksFlags: [[String]]
    /// The addresses at which DNS is answered.
    public var dns: [Endpoint]
    /// Whether a path is ready; otherwise `problem` says why not.
    public var isReady: Bool
    /// The reason why no path is ready, or another problem.
    public var problem: ClientProblem?
    /// Links that are up.
    public var links: Int
    /// Sessions, one per isolation key in use.
    public var sessions: Int
    /// Open streams of apps.
    public var streams: Int
    /// UDP associations of apps, which also count as streams.
    public var associations: Int
    /// Nodes whose descriptor is known.
    public var descriptors: Int
    /// The trusted snapshot.
    public var snapshot: SnapshotStatus
    /// How many of the nodes that were asked have the same snapshot.
    public var witnesses: Int
    /// Whether nodes of two operators have another snapshot of the same height, or another list of the same round.
    public var isContradicted: Bool
    /// Packets received and sent.
    public var packetsIn: UInt64, packetsOut: UInt64
    /// Bytes received and sent, counted as whole packets.
    public var bytesIn: UInt64, bytesOut: UInt64
    /// Dropped packets by reason; only reasons that occurred.
    public var drops: [String: UInt64]
    /// Paths built, and builds that failed.
    public var builds: UInt64, failedBuilds: UInt64
    /// How long the last builds took, newest last, at most 100.
    public var buildTimes: [TimeSpan]
    /// Onion requests: begun, answered, failed, and those that wait for an answer.
    public var requests: (begun: UInt64, answered: UInt64, failed: UInt64, pending: Int)
}

/// An exit that a client may use.
public struct ExitStatus: Sendable {
    /// The exit's node id.
    public var node: NodeID
    /// The country that the exit claims to be in.
    public var country: String?
    /// Whether the exit works; nil if that is not known.
    public var isUp: Bool?
    /// How long the last try of the exit, or else its newest ready path, took to build.
    public var buildTime: TimeSpan?
    /// How many sessions use the exit.
    public var sessions: Int
}

/// The open streams of one isolation key, under a random label that does not identify its apps.
public struct KeyStatus: Sendable {
    /// The label, which stays the same while the process runs.
    public var label: String
    /// The number of streams that apps have open.
    public var streams: Int
    /// The exit of new streams.
    public var exit: NodeID
    /// The age of the newest session.
    public var age: TimeSpan
    /// The smoothed round-trip time to the exit.
    public var roundTrip: TimeSpan?
    /// Sessions of the key: more than one while streams of an earlier one are open.
    public var sessions: Int
    /// Bytes of packets received and sent over the present paths of the newest session.
    public var bytesIn: UInt64, bytesOut: UInt64
}

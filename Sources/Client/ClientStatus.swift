public import Directory
public import Wire

/// What a client is told at its start.
public struct ClientConfiguration: Sendable {
    /// Where apps are awaited, and what is kept apart there.
    public var listeners: [ProxyListener]
    /// Where DNS is answered, over UDP and TCP: addresses on the loopback.
    public var dns: [Endpoint] = []
    /// How long an app may take to say what it wants.
    public var handshakeLimit = TimeSpan.seconds(30)
    /// How many apps may be connected at once; at the limit the oldest unfinished handshake goes, else the newcomer.
    public var appLimit = 8_192
    /// How long a UDP association lives without a datagram.
    public var udpIdle = TimeSpan.seconds(300)
    /// How many hops a path has, 1 to 4.
    public var hops = 3
    /// How long a path is used before another takes its place; hops forget a path after 1,200 s.
    public var pathUse = TimeSpan.seconds(900)
    /// How many ready paths without a session are kept.
    public var sparePaths = 2
    /// The exits that may be used; empty: all.
    public var exits = NodeChoice()
    /// Nodes that are in no path.
    public var avoided = NodeChoice()
    /// This machine's own nodes, which are in no path either.
    public var own: Set<NodeID> = []
    /// How often the exits are tried where some are chosen; zero: never.
    public var exitCheck = TimeSpan.seconds(60)

    /// The defaults, with apps awaited at `socks`.
    public init(socks: [ProxyAddress]) { listeners = socks.map { ProxyListener($0) } }

    /// The addresses of ``listeners``.
    public var socks: [ProxyAddress] { listeners.map(\.address) }
}

/// One path of a client.
public struct PathStatus: Sendable {
    /// What a path can be doing.
    public enum State: String, Sendable {
        /// Being built.
        case building
        /// Usable.
        case ready
        /// Its packets no longer come through.
        case dead
    }

    /// The nodes in order, guard first.
    public var hops: [NodeID]
    /// What it is doing.
    public var state: State
    /// Whether a session's data goes over it.
    public var isActive: Bool
    /// How long ago it was built, or its build was begun.
    public var age: TimeSpan
    /// The smoothed round-trip time to its guard, which is the link's.
    public var guardRoundTrip: TimeSpan?
    /// The smoothed round-trip time to its exit; nil as long as nothing has come back over it.
    public var roundTrip: TimeSpan?
    /// How long its build took.
    public var buildTime: TimeSpan?
    /// Packet bytes received over it and sent into it.
    public var bytesIn: UInt64, bytesOut: UInt64
}

/// What a client is doing: aggregates only, no destination and no credential.
public struct ClientStatus: Sendable {
    /// Where apps are awaited.
    public var socks: [ProxyAddress]
    /// What was said of each of these, in the words of the configuration.
    public var socksFlags: [[String]]
    /// Where DNS is answered.
    public var dns: [Endpoint]
    /// Whether a path is ready; otherwise `problem` says why not.
    public var isReady: Bool
    /// What keeps it from being ready, or is wrong all the same, in one sentence.
    public var problem: String?
    /// Links that are up.
    public var links: Int
    /// Sessions, one per isolation key in use.
    public var sessions: Int
    /// Open streams of apps.
    public var streams: Int
    /// UDP associations of apps, which are streams too.
    public var associations: Int
    /// Nodes whose descriptor is known.
    public var descriptors: Int
    /// The snapshot that it trusts.
    public var snapshot: SnapshotStatus
    /// How many nodes were asked and have it too.
    public var witnesses: Int
    /// Whether a node has shown another one for the same height.
    public var isContradicted: Bool
    /// Packets received and sent.
    public var packetsIn: UInt64, packetsOut: UInt64
    /// Bytes received and sent, whole datagrams.
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
    /// Who it is.
    public var node: NodeID
    /// Where it says that it is.
    public var country: String?
    /// Whether it was found to work; nil where it was not tried.
    public var isUp: Bool?
    /// How long the last path to it took to build.
    public var buildTime: TimeSpan?
    /// How many sessions end there.
    public var sessions: Int
}

/// What apps of one isolation key have open, under a random label: nothing that tells who they are.
public struct KeyStatus: Sendable {
    /// The label, which stays as long as the process runs.
    public var label: String
    /// Open streams.
    public var streams: Int
    /// The exit of new streams.
    public var exit: NodeID
    /// For how long the exit is the same.
    public var age: TimeSpan
    /// The round-trip time to the exit.
    public var roundTrip: TimeSpan?
    /// Sessions of the key: more than one while streams of an earlier one are open.
    public var sessions: Int
    /// Packet bytes received and sent over its present paths.
    public var bytesIn: UInt64, bytesOut: UInt64
}

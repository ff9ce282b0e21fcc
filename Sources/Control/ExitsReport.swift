/// The exits that a client may use.
public struct ExitsReport: Codable, Equatable, Sendable {
    /// One exit.
    public struct Exit: Codable, Equatable, Sendable {
        /// Its address (`….snode`).
        public var node: String
        /// Its country, by its own statement.
        public var country: String?
        /// Whether it was found to work; nil if it was not tried.
        public var up: Bool?
        /// The build time of the last path to it, in milliseconds.
        public var buildTime: Double?
        /// The number of sessions that end there.
        public var sessions: Int

        enum CodingKeys: String, CodingKey {
            case node, country, up, sessions
            case buildTime = "build_ms"
        }

        /// An exit; the time is kept to 1 µs.
        public init(node: String, country: String?, up: Bool?, buildTime: Double?, sessions: Int) {
            self.node = node
            self.country = country
            self.up = up
            self.buildTime = buildTime.map { rounded($0, decimals: 3) }
            self.sessions = sessions
        }
    }

    /// The exits, those in use first.
    public var exits: [Exit]

    /// A report of `exits`.
    public init(exits: [Exit]) { self.exits = exits }
}

/// The open streams of a client's apps, by isolation key.
public struct StreamsReport: Codable, Equatable, Sendable {
    /// One isolation key.
    public struct Key: Codable, Equatable, Sendable {
        /// A random name for it.
        public var label: String
        /// Open streams.
        public var streams: Int
        /// The number of sessions: more than one while streams of an earlier one are open.
        public var sessions: Int
        /// The exit of new streams (`….snode`).
        public var exit: String
        /// Since when the exit is the same, as an age in seconds.
        public var age: Double
        /// The round-trip time to it in milliseconds; nil if unknown.
        public var roundTrip: Double?
        /// Bytes received over its present paths.
        public var bytesIn: UInt64
        /// Bytes sent into its present paths.
        public var bytesOut: UInt64

        enum CodingKeys: String, CodingKey {
            case label, streams, sessions, exit
            case age = "age_s"
            case roundTrip = "rtt_ms"
            case bytesIn = "bytes_in"
            case bytesOut = "bytes_out"
        }

        /// A key; times are kept to 0.1 s and 1 µs.
        public init(
            label: String, streams: Int, sessions: Int, exit: String, age: Double, roundTrip: Double?, bytesIn: UInt64,
            bytesOut: UInt64
        ) {
            self.label = label
            self.streams = streams
            self.sessions = sessions
            self.exit = exit
            self.age = rounded(age, decimals: 1)
            self.roundTrip = roundTrip.map { rounded($0, decimals: 3) }
            self.bytesIn = bytesIn
            self.bytesOut = bytesOut
        }
    }

    /// The keys, most streams first.
    public var keys: [Key]

    /// A report of `keys`.
    public init(keys: [Key]) { self.keys = keys }
}

/// The last lines of the log.
public struct LogReport: Codable, Equatable, Sendable {
    /// The lines, oldest first.
    public var lines: [String]

    /// A report of `lines`.
    public init(lines: [String]) { self.lines = lines }
}

/// The metrics of a process.
public struct MetricsReport: Codable, Equatable, Sendable {
    /// The metrics in the text format of OpenMetrics 1.0.
    public var metrics: String

    /// A report of `metrics`.
    public init(metrics: String) { self.metrics = metrics }
}

/// The address of the status page.
public struct WebReport: Codable, Equatable, Sendable {
    /// The page's address with the secret.
    public var url: String

    /// A report of `url`.
    public init(url: String) { self.url = url }
}

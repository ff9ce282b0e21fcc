internal import Texts

/// Everything that a run of the benchmark found, as its JSON file has it.
///
/// MB is 10^6 bytes, GiB is 2^30 bytes. A measurement in which anything went wrong has a `fault` and no figures.
public struct BenchReport: Codable, Equatable, Sendable {
    /// The machine.
    public struct Host: Codable, Equatable, Sendable {
        /// The processor's name.
        public var cpu: String
        /// How many processors there are.
        public var cores: Int
        /// The kernel's release.
        public var kernel: String
        /// The load average of the last minute before the run; nil where the system does not tell.
        public var load: Double?

        enum CodingKeys: String, CodingKey {
            case cpu, cores, kernel
            case load = "load_average"
        }

        /// What is said of a machine that is busy before the run; nil for one at rest.
        public var warning: String? {
            guard let load, load > Double(cores) * Self.restingLoad else { return nil }
            return
                "this machine is busy (load average \(numberText(load, decimals: 2)) on \(cores) processors): rates will be too low and "
                + "times too long"
        }

        /// The most load for each processor that is taken for a machine at rest.
        private static let restingLoad = 0.25
    }

    /// What was asked for.
    public struct Settings: Codable, Equatable, Sendable {
        /// What was measured, in words.
        public var subject: String
        /// The hops of a path, where the benchmark chose them.
        public var hops: Int?
        /// The window of each measurement in seconds, the load before it, and how long anything may stand still.
        public var seconds: Double, warmUp: Double, patience: Double
        /// Whether each stream had a SOCKS user name of its own.
        public var isolated: Bool
        /// How many windows each figure is the median of; nil: one.
        public var repeats: Int?

        enum CodingKeys: String, CodingKey {
            case subject, hops, seconds, patience, isolated, repeats
            case warmUp = "warm_up"
        }

        /// What `subject` says, measured as `plan` says.
        public init(subject: String, hops: Int?, plan: Benchmark.Plan) {
            self.subject = subject
            self.hops = hops
            (seconds, warmUp, patience) = (plan.seconds, plan.warmUp, plan.patience)
            isolated = plan.isolates
            repeats = plan.repeats
        }
    }

    /// A moment of a throughput measurement.
    public struct Tick: Codable, Equatable, Sendable {
        /// Seconds since the window began.
        public var at: Double
        /// MB per second since the tick before.
        public var rate: Double

        enum CodingKeys: String, CodingKey {
            case at = "s"
            case rate = "mb_per_s"
        }
    }

    /// Streams that carry as much as they can.
    public struct Throughput: Codable, Equatable, Sendable {
        /// How many.
        public var streams: Int
        /// Which way.
        public var direction: Direction
        /// What went wrong.
        public var fault: String?
        /// The window in seconds.
        public var seconds: Double?
        /// Bytes that arrived and were right.
        public var bytes: UInt64?
        /// MB per second of all streams together, and of the one that got least.
        public var rate: Double?, leastRate: Double?
        /// CPU seconds per GiB: of all processes of the subject, by role, and of the benchmark itself.
        public var cpu: Double?, cpuByRole: [String: Double]?, cpuOfBenchmark: Double?
        /// Over time.
        public var ticks: [Tick]?
        /// Each window, where there were several; the figures above are medians then.
        public var windows: [Throughput]?

        enum CodingKeys: String, CodingKey {
            case streams, direction, fault, seconds, bytes, windows
            case rate = "mb_per_s"
            case leastRate = "least_mb_per_s"
            case cpu = "cpu_s_per_gib"
            case cpuByRole = "cpu_s_per_gib_by_role"
            case cpuOfBenchmark = "cpu_s_per_gib_benchmark"
            case ticks = "over_time"
        }
    }

    /// A point of a distribution.
    public struct Percentile: Codable, Equatable, Sendable {
        /// Percent of all that took no longer.
        public var percentile: Double
        /// Microseconds.
        public var time: Double

        enum CodingKeys: String, CodingKey {
            case percentile
            case time = "us"
        }
    }

    /// One byte there and back.
    public struct Latency: Codable, Equatable, Sendable {
        /// How many bulk streams there were beside it, 0 when idle.
        public var besides: Int
        /// What went wrong.
        public var fault: String?
        /// The window in seconds.
        public var seconds: Double?
        /// How many round trips.
        public var count: Int?
        /// Microseconds; nil where there were too few for that percentile.
        public var p50: Double?, p99: Double?, p999: Double?, longest: Double?
        /// CPU time of all processes of the subject for each, in microseconds; idle only.
        public var cpuEach: Double?
        /// MB per second that the bulk streams carried meanwhile.
        public var besideRate: Double?
        /// All of it.
        public var distribution: [Percentile]?
        /// Each window, where there were several; the figures above are medians then, the longest is that of all.
        public var windows: [Latency]?

        enum CodingKeys: String, CodingKey {
            case fault, seconds, count, distribution, windows
            case besides = "bulk_streams"
            case p50 = "p50_us"
            case p99 = "p99_us"
            case p999 = "p999_us"
            case longest = "max_us"
            case cpuEach = "cpu_us_each"
            case besideRate = "bulk_mb_per_s"
        }
    }

    /// New connections that fetch eight bytes each.
    public struct Connections: Codable, Equatable, Sendable {
        /// How many were under way at a time.
        public var inFlight: Int
        /// What went wrong.
        public var fault: String?
        /// The window in seconds.
        public var seconds: Double?
        /// How many ended in it.
        public var count: Int?
        /// How many per second.
        public var rate: Double?
        /// Microseconds for the whole of one.
        public var p50: Double?, p99: Double?, p999: Double?
        /// CPU time of all processes of the subject for each, in microseconds.
        public var cpuEach: Double?
        /// Each window, where there were several; the figures above are medians then.
        public var windows: [Connections]?

        enum CodingKeys: String, CodingKey {
            case fault, seconds, count, windows
            case inFlight = "in_flight"
            case rate = "per_second"
            case p50 = "p50_us"
            case p99 = "p99_us"
            case p999 = "p999_us"
            case cpuEach = "cpu_us_each"
        }
    }

    /// Paths that the client built for new isolation keys, one key after the other.
    public struct Builds: Codable, Equatable, Sendable {
        /// What went wrong.
        public var fault: String?
        /// How many were built, and how many builds failed.
        public var count: Int?, failed: Int?
        /// Milliseconds, as the client counts them.
        public var p50: Double?, p90: Double?
        /// Each round, where there were several; the times above are medians then.
        public var windows: [Builds]?

        enum CodingKeys: String, CodingKey {
            case fault, count, failed, windows
            case p50 = "p50_ms"
            case p90 = "p90_ms"
        }
    }

    /// Resident memory in bytes of the largest process of each role.
    public struct Memory: Codable, Equatable, Sendable {
        /// Before the first measurement.
        public var idle: [String: UInt64]
        /// The most during any.
        public var peak: [String: UInt64]
    }

    /// The version of the program.
    public var version: String
    /// The commit that was built, as the version names it.
    public var commit: String?
    /// When the run began, in UTC.
    public var date: String
    /// The machine.
    public var host: Host
    /// What was asked for.
    public var settings: Settings
    /// Why nothing was measured: the first stream already failed.
    public var fault: String?
    /// The measurements, those that were asked for.
    public var throughput: [Throughput] = []
    /// Round trips, idle and loaded.
    public var latency: [Latency] = []
    /// New connections.
    public var connections: Connections?
    /// Path builds.
    public var builds: Builds?
    /// Memory, where the processes are known.
    public var memory: Memory?

    enum CodingKeys: String, CodingKey {
        case version, commit, date, host, settings, fault, throughput, latency, connections, memory
        case builds = "path_builds"
    }

    /// A report without figures.
    public init(version: String, date: String, host: Host, settings: Settings) {
        self.version = version
        commit = version.split(separator: "+", maxSplits: 1).dropFirst().first.map(String.init)
        self.date = date
        self.host = host
        self.settings = settings
    }

    /// What went wrong, a line for each measurement.
    public var faults: [String] {
        var lines = fault.map { ["the first stream: \($0)"] } ?? []
        lines += throughput.compactMap { one in one.fault.map { "\(one.title): \($0)" } }
        lines += latency.compactMap { one in one.fault.map { "\(one.title): \($0)" } }
        if let fault = connections?.fault { lines.append("connections: \(fault)") }
        if let fault = builds?.fault { lines.append("path builds: \(fault)") }
        return lines
    }
}

extension BenchReport.Throughput {
    /// What it is called in tables and charts.
    public var title: String { "\(streams) \(streams == 1 ? "stream" : "streams") \(direction.rawValue)" }
}

extension BenchReport.Latency {
    /// What it is called in tables and charts.
    public var title: String { besides == 0 ? "round trip, idle" : "round trip beside \(besides) streams down" }
}

extension BenchReport.Host {
    /// This machine.
    public static func current() -> Self {
        let processor = ProcessUsage.text("/proc/cpuinfo").split(separator: "\n").first { $0.hasPrefix("model name") }
        let name = processor.flatMap { $0.split(separator: ":", maxSplits: 1).last }
        return Self(
            cpu: name.map(trimmed) ?? "unknown processor", cores: ProcessUsage.usableProcessors,
            kernel: trimmed(ProcessUsage.text("/proc/sys/kernel/osrelease")), load: ProcessUsage.loadAverage)
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
}

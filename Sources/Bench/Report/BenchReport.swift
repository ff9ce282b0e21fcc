internal import Texts

/// All results of a run of the benchmark, in the form of its JSON file.
///
/// MB is 10^6 bytes, GiB is 2^30 bytes. A measurement with any fault has a `fault` and no figures.
public struct BenchReport: Codable, Equatable, Sendable {
    /// The machine.
    public struct Host: Codable, Equatable, Sendable {
        /// The processor's name.
        public var cpu: String
        /// The number of processors.
        public var cores: Int
        /// The kernel's release.
        public var kernel: String
        /// The load average of the last minute before the run; nil if the system does not tell it.
        public var load: Double?

        enum CodingKeys: String, CodingKey {
            case cpu, cores, kernel
            case load = "load_average"
        }

        /// The warning about a machine that was busy before the run; nil for one at rest.
        public var warning: String? {
            guard let load, load > Double(cores) * Self.restingLoad else { return nil }
            return
                "this machine is busy (load average \(numberText(load, decimals: 2)) on \(cores) processors): rates will be too low and "
                + "times too long"
        }

        /// The highest load per processor of a machine at rest.
        private static let restingLoad = 0.25
    }

    /// The limits of the benchmark's own network.
    public enum Limits: String, Codable, Sendable {
        /// Those of every network whose file names no others.
        case byDefault = "default"
        /// Higher ones, for the program's own speed.
        case raised
    }

    /// The settings of the run.
    public struct Settings: Codable, Equatable, Sendable {
        /// A description of the subject.
        public var subject: String
        /// The hops of a path, if the benchmark chose them.
        public var hops: Int?
        /// The window of each measurement, the load before it, and the longest time without progress, in seconds.
        public var seconds: Double, warmUp: Double, patience: Double
        /// Whether each stream had its own SOCKS user name.
        public var isolated: Bool
        /// The number of windows of which each figure is the median; nil: one.
        public var repeats: Int?
        /// The limits of the benchmark's own network; nil for other subjects, and in reports of older versions, which
        /// raised them.
        public var limits: Limits?

        enum CodingKeys: String, CodingKey {
            case subject, hops, seconds, patience, isolated, repeats, limits
            case warmUp = "warm_up"
        }

        /// The settings of `plan`, for the subject that `subject` describes.
        public init(subject: String, hops: Int?, plan: Benchmark.Plan) {
            self.subject = subject
            self.hops = hops
            (seconds, warmUp, patience) = (plan.seconds, plan.warmUp, plan.patience)
            isolated = plan.isolates
            repeats = plan.repeats
        }
    }

    /// A point of a throughput measurement.
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

    /// The throughput of streams that carry as much as they can.
    public struct Throughput: Codable, Equatable, Sendable {
        /// The number of streams.
        public var streams: Int
        /// The direction of the streams.
        public var direction: Direction
        /// The fault; nil if there was none.
        public var fault: String?
        /// The window in seconds.
        public var seconds: Double?
        /// Bytes that arrived and matched the pattern.
        public var bytes: UInt64?
        /// MB per second of all streams together, and of the slowest stream.
        public var rate: Double?, leastRate: Double?
        /// CPU seconds per GiB: of all processes of the subject, by role, and of the benchmark itself.
        public var cpu: Double?, cpuByRole: [String: Double]?, cpuOfBenchmark: Double?
        /// The throughput over time.
        public var ticks: [Tick]?
        /// The windows, if there were several.
        ///
        /// The figures above are then medians.
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
        /// The percentage of round trips that took no longer.
        public var percentile: Double
        /// The time in microseconds.
        public var time: Double

        enum CodingKeys: String, CodingKey {
            case percentile
            case time = "us"
        }
    }

    /// The latency of one byte there and back.
    public struct Latency: Codable, Equatable, Sendable {
        /// The number of bulk streams beside it; 0 when idle.
        public var besides: Int
        /// The fault; nil if there was none.
        public var fault: String?
        /// The window in seconds.
        public var seconds: Double?
        /// The number of round trips.
        public var count: Int?
        /// Times in microseconds; nil if there were too few round trips for that percentile.
        public var p50: Double?, p99: Double?, p999: Double?, longest: Double?
        /// CPU time of all processes of the subject per round trip, in microseconds; idle only.
        public var cpuEach: Double?
        /// MB per second that the bulk streams carried in the window.
        public var besideRate: Double?
        /// The whole distribution.
        public var distribution: [Percentile]?
        /// The windows, if there were several.
        ///
        /// The figures above are then medians, except the longest time, which is that of all.
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
        /// The number of connections in flight.
        public var inFlight: Int
        /// The fault; nil if there was none.
        public var fault: String?
        /// The window in seconds.
        public var seconds: Double?
        /// The number of connections that ended in the window.
        public var count: Int?
        /// The number of connections per second.
        public var rate: Double?
        /// The time of a whole connection in microseconds.
        public var p50: Double?, p99: Double?, p999: Double?
        /// CPU time of all processes of the subject per connection, in microseconds.
        public var cpuEach: Double?
        /// The windows, if there were several.
        ///
        /// The figures above are then medians.
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
        /// The fault; nil if there was none.
        public var fault: String?
        /// The number of paths that were built, and of builds that failed.
        public var count: Int?, failed: Int?
        /// The time of a build in milliseconds, as the client measures it.
        public var p50: Double?, p90: Double?
        /// The rounds, if there were several.
        ///
        /// The times above are then medians.
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
        /// The largest value during all measurements.
        public var peak: [String: UInt64]
    }

    /// The version of the program.
    public var version: String
    /// The commit of the build, from the version.
    public var commit: String?
    /// The start of the run, in UTC.
    public var date: String
    /// The machine.
    public var host: Host
    /// The settings.
    public var settings: Settings
    /// The fault of the first stream, without which nothing else was measured.
    public var fault: String?
    /// Throughput; empty if it was not measured.
    public var throughput: [Throughput] = []
    /// Round trips, idle and under load.
    public var latency: [Latency] = []
    /// New connections.
    public var connections: Connections?
    /// Path builds.
    public var builds: Builds?
    /// Memory, if the processes are known.
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

    /// The faults, one line for each measurement.
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
    /// The name of the row in tables and charts.
    public var title: String { "\(streams) \(streams == 1 ? "stream" : "streams") \(direction.rawValue)" }
}

extension BenchReport.Latency {
    /// The name of the row in tables and charts.
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

/// Metrics in the text format of OpenMetrics 1.0, with names and units by Prometheus' conventions.
///
/// Labels name roles, directions, reasons and results; none names a client, a node or a destination.
public struct OpenMetrics {
    private var lines: [String] = []

    /// The type of a metric.
    public enum Kind: String, Sendable {
        /// A value that goes up and down.
        case gauge
        /// A value that only grows; its samples' names end in `_total`.
        case counter
        /// A value of 1 whose labels are the information.
        case info

        /// The suffix of its samples' names.
        var suffix: String {
            switch self {
            case .gauge: ""
            case .counter: "_total"
            case .info: "_info"
            }
        }
    }

    /// One value.
    public struct Sample: Sendable {
        let labels: [(String, String)]
        let value: Double

        /// A value with labels, in this order.
        public init(_ value: Double, _ labels: [(String, String)] = []) {
            self.value = value
            self.labels = labels
        }
    }

    /// A text without metrics.
    public init() {}

    /// Adds a metric; without samples it is left out.
    ///
    /// `unit` is one of OpenMetrics' units (`seconds`, `bytes`), in which `name` ends.
    public mutating func add(
        _ kind: Kind, _ name: String, unit: String? = nil, _ help: String, _ samples: [Sample]
    ) {
        guard !samples.isEmpty else { return }
        lines.append("# TYPE \(name) \(kind.rawValue)")
        if let unit { lines.append("# UNIT \(name) \(unit)") }
        lines.append("# HELP \(name) \(help)")
        for sample in samples {
            let labels = sample.labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",")
            lines.append("\(name)\(kind.suffix)\(labels.isEmpty ? "" : "{\(labels)}") \(Self.text(sample.value))")
        }
    }

    /// The whole text.
    public var text: String { (lines + ["# EOF\n"]).joined(separator: "\n") }

    private static func text(_ value: Double) -> String {
        guard value.isFinite else { return "NaN" }
        return value == value.rounded() && value.magnitude < 9e15 ? "\(Int64(value))" : "\(value)"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}

extension OpenMetrics {
    /// Adds the reports of a process's roles.
    public mutating func add(_ reports: [StatusReport]) {
        func all(_ value: (StatusReport) -> Double?) -> [Sample] {
            reports.compactMap { report in value(report).map { Sample($0, [("role", report.role.rawValue)]) } }
        }
        func pairs(_ label: String, _ values: (StatusReport) -> [(String, Double)]) -> [Sample] {
            reports.flatMap { report in
                values(report).map { Sample($0.1, [("role", report.role.rawValue), (label, $0.0)]) }
            }
        }
        func counts(_ counts: [String: UInt64]) -> [(String, Double)] {
            counts.sorted { $0.key < $1.key }.map { ($0.key, Double($0.value)) }
        }
        add(
            .info, "tunic_build", "The program and its roles.",
            reports.map { Sample(1, [("version", $0.version), ("role", $0.role.rawValue)]) })
        add(.gauge, "tunic_ready", "Whether it serves.") { all { $0.ready ? 1 : 0 } }
        add(.gauge, "tunic_draining", "Whether a relay waits for its paths to end.") {
            all { $0.draining.map { $0 ? 1 : 0 } }
        }
        add(.gauge, "tunic_links", "Links that are up.") { all { Double($0.links) } }
        add(.gauge, "tunic_paths", "Paths of a client that are ready, or those that a relay carries.") {
            all { Double($0.paths) }
        }
        add(.gauge, "tunic_sessions", "Sessions.") { all { Double($0.sessions) } }
        add(.gauge, "tunic_streams", "Open streams.") { all { Double($0.streams) } }
        add(.gauge, "tunic_descriptors", "Nodes whose descriptor is known.") { all { Double($0.descriptors) } }
        add(.counter, "tunic_packets", "Packets.") {
            pairs("direction") {
                [("received", Double($0.total.packetsIn)), ("sent", Double($0.total.packetsOut))]
            }
        }
        add(
            .counter, "tunic_network_bytes", unit: "bytes", "Bytes of whole datagrams.",
            pairs("direction") { [("received", Double($0.total.bytesIn)), ("sent", Double($0.total.bytesOut))] })
        add(.counter, "tunic_dropped_packets", "Packets that were dropped.") { pairs("reason") { counts($0.drops) } }
        add(.counter, "tunic_path_builds", "Paths that were built, by this client or with this relay as a hop.") {
            pairs("result") {
                [("built", Double($0.builds))] + ($0.failedBuilds.map { [("failed", Double($0))] } ?? [])
            }
        }
        add(.counter, "tunic_refused_builds", "Builds that a relay refused.") {
            pairs("reason") { counts($0.refusals ?? [:]) }
        }
        add(registry: reports.compactMap(\.registry))
        add(.gauge, "tunic_snapshot_height", "The height of the trusted snapshot.") {
            all { $0.snapshot.map { Double($0.height) } }
        }
        add(.gauge, "tunic_watched_nodes", "Nodes that a relay tests.") {
            all { $0.watching.map { Double($0.watched) } }
        }
        add(.gauge, "tunic_dead_nodes", "Nodes that fail a relay's tests.") {
            all { $0.watching.map { Double($0.dead) } }
        }
        add(.counter, "tunic_node_tests", "Tests of other nodes by a relay.") {
            pairs("result") { report in
                report.watching.map { [("passed", Double($0.passed)), ("failed", Double($0.failed))] } ?? []
            }
        }
        add(
            .gauge, "tunic_since_client_seconds", unit: "seconds", "Time since a client or a test came to a relay.",
            all { $0.watching?.sinceClient })
        add(
            .gauge, "tunic_path_build_time_seconds", unit: "seconds", "Times of a client's last hundred builds.",
            pairs("quantile") { report in
                guard let times = report.buildTimes?.sorted(), let longest = times.last else { return [] }
                return [("0.5", times[times.count / 2] / 1000), ("1", longest / 1000)]
            })
        add(
            .gauge, "tunic_month_bytes", unit: "bytes", "Bytes of this month, sent and received.",
            all { $0.accounting.map { Double($0.bytes) } })
        add(
            .gauge, "tunic_month_limit_bytes", unit: "bytes", "Bytes that a month may have.",
            all { $0.accounting?.limit.map { Double($0) } })
    }

    /// Adds a relay's state in the registry; times are in seconds since 1970, amounts in SESH, 0 if there is none.
    private mutating func add(registry reports: [RegistryReport]) {
        func all(_ value: (RegistryReport) -> Double) -> [Sample] { reports.map { Sample(value($0)) } }
        add(.gauge, "tunic_registry_state", "How the relay stands in the registry: 1 for its state.") {
            reports.flatMap { report in
                RegistryReport.State.allCases.map { Sample($0 == report.state ? 1 : 0, [("state", $0.rawValue)]) }
            }
        }
        add(.gauge, "tunic_block_height", "The height of the newest block.") { all { Double($0.height) } }
        add(
            .gauge, "tunic_block_time_seconds", unit: "seconds", "When the newest block was made, since 1970.",
            all { Double($0.time) })
        add(.gauge, "tunic_stake_sesh", "The stake of the relay in SESH.") { all { Double($0.stake) / 1e9 } }
        add(.gauge, "tunic_rewards_sesh", "Unclaimed rewards of the operator's account in SESH.") {
            all { Double($0.rewards) / 1e9 }
        }
        add(
            .gauge, "tunic_credit_seconds", unit: "seconds", "For how long the relay may be away.",
            all { Double($0.credit) })
        add(
            .gauge, "tunic_leaves_at_seconds", unit: "seconds", "When the relay leaves, since 1970; 0: never.",
            all { Double($0.leavesAt ?? 0) })
        add(
            .gauge, "tunic_maintenance_until_seconds", unit: "seconds",
            "When the maintenance of the relay is over, since 1970; 0: it is in none.",
            all { Double($0.maintenanceUntil ?? 0) })
        add(
            .gauge, "tunic_deregisters_at_seconds", unit: "seconds",
            "When the relay is deregistered unless it serves again, since 1970; 0: never.",
            all { Double($0.deregistersAt ?? 0) })
        add(
            .gauge, "tunic_locked_until_seconds", unit: "seconds",
            "Until when the stake is locked, since 1970; 0: it is not.", all { Double($0.lockedUntil ?? 0) })
        add(
            .counter, "tunic_clock_refusals", "Requests among authorities that were refused since clocks differ.",
            reports.compactMap { $0.clockRefusals.map { Sample(Double($0)) } })
    }

    private mutating func add(_ kind: Kind, _ name: String, _ help: String, _ samples: () -> [Sample]) {
        add(kind, name, help, samples())
    }
}

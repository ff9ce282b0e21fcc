/// Metrics in the text format of OpenMetrics 1.0, with names and units by Prometheus' conventions.
///
/// Labels name roles, directions, reasons, results, kinds of tests and workers; none names a client, a node or a
/// destination.
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
    /// A `name` that ends in `_seconds` or `_bytes` says its unit.
    public mutating func add(_ kind: Kind, _ name: String, _ help: String, _ samples: [Sample]) {
        guard !samples.isEmpty else { return }
        lines.append("# TYPE \(name) \(kind.rawValue)")
        for unit in ["seconds", "bytes"] where name.hasSuffix("_\(unit)") { lines.append("# UNIT \(name) \(unit)") }
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
    /// Adds the figures of the roles of a process, in the order of the catalogue.
    public mutating func add(_ reports: [StatusReport]) {
        add(
            .info, "tunic_build", "The program and its roles.",
            reports.map { Sample(1, [("version", $0.version), ("role", $0.role.rawValue)]) })
        var families: [(metric: FigureMetric, help: String, samples: [Sample])] = []
        for entry in FigureCatalog.all {
            guard let metric = entry.metric else { continue }
            let samples = reports.flatMap { Self.samples(of: entry, metric, in: $0) }
            if let place = families.firstIndex(where: { $0.metric.name == metric.name }) {
                families[place].samples += samples
            } else {
                families.append((metric, entry.help, samples))
            }
        }
        for family in families { add(family.metric.kind, family.metric.name, family.help, family.samples) }
    }

    private static func samples(of entry: FigureEntry, _ metric: FigureMetric, in report: StatusReport) -> [Sample] {
        let role = metric.hasRole ? [("role", report.role.rawValue)] : []
        let own = [metric.label, metric.secondLabel].compactMap { $0.map { ($0.name, $0.value) } }
        func sample(_ value: Double, _ label: (String, String)? = nil) -> Sample {
            Sample(value / entry.style.scale, role + own + (label.map { [$0] } ?? []))
        }
        switch report.content(of: entry) {
        case nil:
            guard let absent = metric.absent, report.hasObject(of: entry) else { return [] }
            return [sample(absent)]
        case .reasons(let counts)?:
            return counts.sorted { $0.key < $1.key }.map { sample(Double($0.value), ("reason", $0.key)) }
        case .list(let times)?:
            let sorted = times.sorted()
            guard let longest = sorted.last else { return [] }
            return [sample(sorted[sorted.count / 2], ("quantile", "0.5")), sample(longest, ("quantile", "1"))]
        case .each(let values)?:
            return values.enumerated().map { sample(Double($1), ("worker", "\($0)")) }
        case .text(let state)?: return entry.choices.map { sample($0 == state ? 1 : 0, ("state", $0)) }
        case .count?, .number?, .truth?: return report.content(of: entry)?.number.map { [sample($0)] } ?? []
        }
    }
}

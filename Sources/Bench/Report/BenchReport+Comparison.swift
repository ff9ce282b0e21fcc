internal import Texts

extension BenchReport {
    /// One figure of a report, with its name.
    private struct Figure {
        var name: String
        var value: Double
    }

    /// The figures by which two reports are compared.
    private var figures: [Figure] {
        var found: [Figure] = []
        func add(_ name: String, _ value: Double?) {
            if let value { found.append(Figure(name: name, value: value)) }
        }
        for one in throughput {
            add("\(one.title), MB/s", one.rate)
            add("\(one.title), CPU s/GiB", one.cpu)
        }
        for one in latency {
            add("\(one.title), p50 in µs", one.p50)
            add("\(one.title), p99 in µs", one.p99)
            add("\(one.title), CPU each in µs", one.cpuEach)
        }
        add("connections, per second", connections?.rate)
        add("connections, p50 in µs", connections?.p50)
        add("connections, CPU each in µs", connections?.cpuEach)
        add("path builds, p50 in ms", builds?.p50)
        for role in SubjectRole.allCases.map(\.rawValue) {
            add("memory of \(role), peak in MB", memory?.peak[role].map { Double($0) / 1e6 })
        }
        return found
    }

    /// Each figure beside that of `old`, with the ratio.
    ///
    /// Figures that only one of the reports has are left out.
    public func comparison(with old: BenchReport) -> ReportTable {
        let before = Dictionary(old.figures.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let rows = figures.compactMap { one in
            before[one.name].map { value in
                [
                    one.name, figureText(value), figureText(one.value),
                    value > 0 ? numberText(one.value / value, decimals: 2) : "-",
                ]
            }
        }
        return ReportTable(title: "Beside the older run", head: ["", "then", "now", "ratio"], rows: rows)
    }

    /// The differences that make a comparison with `old` unfair, one line each.
    ///
    /// Empty if both reports were made alike on machines of the same kind.
    public func differences(from old: BenchReport) -> [String] {
        var lines: [String] = []
        func compare(_ name: String, _ then: String, _ now: String) {
            if then != now { lines.append("\(name): \(then) then, \(now) now") }
        }
        func text(_ value: (some CustomStringConvertible)?) -> String { value.map(\.description) ?? "unknown" }
        compare("processor", old.host.cpu, host.cpu)
        compare("cores", "\(old.host.cores)", "\(host.cores)")
        compare("kernel", old.host.kernel, host.kernel)
        compare("measured", old.settings.subject, settings.subject)
        compare("hops", text(old.settings.hops), text(settings.hops))
        compare("limits", text(old.settings.limits?.rawValue), text(settings.limits?.rawValue))
        compare("seconds of a window", figureText(old.settings.seconds), figureText(settings.seconds))
        compare("windows", text(old.settings.repeats ?? 1), text(settings.repeats ?? 1))
        compare("each stream isolated", text(old.settings.isolated), text(settings.isolated))
        for (when, host) in [("then", old.host), ("now", host)] where host.warning != nil {
            lines.append(
                "the machine was busy \(when): load average \(host.load.map { numberText($0, decimals: 2) } ?? "-")")
        }
        return lines
    }
}

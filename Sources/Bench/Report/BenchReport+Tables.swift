internal import Texts

/// A table of a report.
public struct ReportTable: Equatable, Sendable {
    /// The subject of the table, with its units.
    public var title: String
    /// The names of the columns.
    public var head: [String]
    /// The cells, row by row.
    ///
    /// A shorter row ends with the fault.
    public var rows: [[String]]
}

extension BenchReport {
    /// The conditions that the figures depend on, in one line.
    public var conditions: String {
        let hops = settings.hops.map { ", \($0) \($0 == 1 ? "hop" : "hops")" } ?? ""
        let limits = settings.limits.map { ", \($0.rawValue) limits" } ?? ""
        let repeats = settings.repeats ?? 1
        let windows = repeats > 1 ? "medians of \(repeats) windows of" : "windows of"
        return "\(settings.subject)\(hops)\(limits); \(windows) \(figureText(settings.seconds)) s, "
            + "\(settings.isolated ? "each stream isolated" : "all streams of one application"); "
            + "\(host.cpu), \(host.cores) cores, Linux \(host.kernel)\(host.load.map { ", load average \(numberText($0, decimals: 2))" } ?? ""); tunic \(version), \(date)"
    }

    /// How far the figures can be trusted, in sentences.
    public var advice: String {
        let several = (settings.repeats ?? 1) > 1 ? "In brackets: the least and the most of the windows. " : ""
        let cpu = throughput.contains { $0.cpu != nil }
        let steady =
            cpu
            ? "CPU (seconds per GiB) is the steadiest column, unless a window carries little: what the nodes do at rest "
                + "counts there. " : ""
        let limited =
            settings.limits == .byDefault && connections?.rate != nil
            ? "The network's limits bound new connections, as for every client; --raise-limits measures the program. "
            : ""
        return several + steady + limited + "Rates and times change with everything else that the machine does."
    }

    /// The tables of all measurements of the run.
    public var tables: [ReportTable] {
        [throughputTable, latencyTable, connectionTable, buildTable, memoryTable].compactMap { $0 }
    }

    private var throughputTable: ReportTable? {
        guard !throughput.isEmpty else { return nil }
        let used = Set(throughput.flatMap { one in one.cpuByRole.map { Array($0.keys) } ?? [] })
        let roles = SubjectRole.allCases.map(\.rawValue).filter(used.contains)
        let hasSubject = !roles.isEmpty
        let rows = throughput.map { one in
            guard one.fault == nil else { return [one.title, one.fault ?? ""] }
            let cells = [one.title, spread(one.rate, one.windows?.map(\.rate)), figureText(one.leastRate)]
            let all = hasSubject ? [spread(one.cpu, one.windows?.map(\.cpu))] : []
            return cells + all + roles.map { figureText(one.cpuByRole?[$0]) } + [figureText(one.cpuOfBenchmark)]
        }
        return ReportTable(
            title: "Throughput in MB/s, and CPU seconds per GiB",
            head: ["", "MB/s", "least"] + (hasSubject ? ["CPU"] : []) + roles + ["benchmark"], rows: rows)
    }

    private var latencyTable: ReportTable? {
        guard !latency.isEmpty else { return nil }
        let rows = latency.map { one in
            guard one.fault == nil else { return [one.title, one.fault ?? ""] }
            return [
                one.title, spread(one.p50, one.windows?.map(\.p50)), spread(one.p99, one.windows?.map(\.p99)),
                figureText(one.p999), figureText(one.longest),
                one.count.map { "\($0)" } ?? "-", one.besides == 0 ? figureText(one.cpuEach) : "-",
                one.besideRate.map { "\(figureText($0)) MB/s" } ?? "-",
            ]
        }
        return ReportTable(
            title: "Latency of one byte there and back, in microseconds",
            head: ["", "p50", "p99", "p99.9", "longest", "count", "CPU each", "beside"], rows: rows)
    }

    private var connectionTable: ReportTable? {
        guard let one = connections else { return nil }
        let title = "\(one.inFlight) in flight"
        let row =
            one.fault.map { [title, $0] }
            ?? [
                title, spread(one.rate, one.windows?.map(\.rate)), spread(one.p50, one.windows?.map(\.p50)),
                figureText(one.p99), figureText(one.p999), spread(one.cpuEach, one.windows?.map(\.cpuEach)),
            ]
        return ReportTable(
            title: "New connections, 8 bytes each; times in microseconds",
            head: ["", "per second", "p50", "p99", "p99.9", "CPU each"], rows: [row])
    }

    private var buildTable: ReportTable? {
        guard let one = builds else { return nil }
        let row =
            one.fault.map { ["path build", $0] }
            ?? [
                "path build", spread(one.p50, one.windows?.map(\.p50)), figureText(one.p90), "\(one.count ?? 0)",
                "\(one.failed ?? 0)",
            ]
        return ReportTable(
            title: "Path builds, in milliseconds", head: ["", "p50", "p90", "built", "failed"], rows: [row])
    }

    private var memoryTable: ReportTable? {
        guard let memory else { return nil }
        let rows = SubjectRole.allCases.map(\.rawValue).compactMap { role -> [String]? in
            guard memory.idle[role] != nil || memory.peak[role] != nil else { return nil }
            func cell(_ bytes: UInt64?) -> String { figureText(bytes.map { Double($0) / 1e6 }) }
            return [role, cell(memory.idle[role]), cell(memory.peak[role])]
        }
        return ReportTable(
            title: "Resident memory of the largest process, in MB", head: ["", "before", "peak"], rows: rows)
    }
}

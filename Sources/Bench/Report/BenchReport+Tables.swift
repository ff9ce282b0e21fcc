/// A table of a report.
public struct ReportTable: Equatable, Sendable {
    /// What it is about, with its units.
    public var title: String
    /// The columns' names.
    public var head: [String]
    /// The cells, row by row; a row that is shorter says in its last cell what went wrong.
    public var rows: [[String]]
}

extension BenchReport {
    /// What the figures depend on, in one line.
    public var conditions: String {
        let hops = settings.hops.map { ", \($0) \($0 == 1 ? "hop" : "hops")" } ?? ""
        return "\(settings.subject)\(hops); windows of \(figure(settings.seconds)) s, "
            + "\(settings.isolated ? "each stream isolated" : "all streams of one application"); "
            + "\(host.cpu), \(host.cores) cores, Linux \(host.kernel); tunic \(version), \(date)"
    }

    /// The tables of all measurements that were made.
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
            let cells = [one.title, figure(one.rate), figure(one.leastRate)]
            let all = hasSubject ? [figure(one.cpu)] : []
            return cells + all + roles.map { figure(one.cpuByRole?[$0]) } + [figure(one.cpuOfBenchmark)]
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
                one.title, figure(one.p50), figure(one.p99), figure(one.p999), figure(one.longest),
                one.count.map { "\($0)" } ?? "-", one.besides == 0 ? figure(one.cpuEach) : "-",
                one.besideRate.map { "\(figure($0)) MB/s" } ?? "-",
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
            ?? [title, figure(one.rate), figure(one.p50), figure(one.p99), figure(one.p999), figure(one.cpuEach)]
        return ReportTable(
            title: "New connections, 8 bytes each; times in microseconds",
            head: ["", "per second", "p50", "p99", "p99.9", "CPU each"], rows: [row])
    }

    private var buildTable: ReportTable? {
        guard let one = builds else { return nil }
        let row =
            one.fault.map { ["path build", $0] }
            ?? ["path build", figure(one.p50), figure(one.p90), "\(one.count ?? 0)", "\(one.failed ?? 0)"]
        return ReportTable(
            title: "Path builds, in milliseconds", head: ["", "p50", "p90", "built", "failed"], rows: [row])
    }

    private var memoryTable: ReportTable? {
        guard let memory else { return nil }
        let rows = SubjectRole.allCases.map(\.rawValue).compactMap { role -> [String]? in
            guard memory.idle[role] != nil || memory.peak[role] != nil else { return nil }
            func cell(_ bytes: UInt64?) -> String { figure(bytes.map { Double($0) / 1e6 }) }
            return [role, cell(memory.idle[role]), cell(memory.peak[role])]
        }
        return ReportTable(
            title: "Resident memory of the largest process, in MB", head: ["", "before", "peak"], rows: rows)
    }
}

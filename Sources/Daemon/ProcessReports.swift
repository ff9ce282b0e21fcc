internal import BuildInfo
internal import Control
internal import EventLoop
internal import Logging
internal import Process
internal import Wire

/// What the roles of a process report, with what the process itself knows: rates, uptime, figures, want of descriptors.
final class ProcessReports {
    private let loop: Loop
    private let roles: [any Role]
    private let log: Logger
    private var meters: [TrafficMeter]
    private let startTime: UInt64
    /// The wall clock at the start, in seconds since 1970.
    private let startedAt = currentTime().seconds
    /// Processor time at each of the last samples, with their times in nanoseconds.
    private var cpuSamples: [(time: UInt64, seconds: Double)] = []
    /// How often connections were turned away for want of descriptors, and until when that is said.
    private var shortages: (count: UInt64, until: UInt64) = (0, 0)

    init(of roles: [any Role], on loop: Loop, log: Logger) {
        self.loop = loop
        self.roles = roles
        self.log = log
        meters = roles.map { _ in TrafficMeter() }
        startTime = loop.now
    }

    /// What is said when descriptors are short.
    private static var shortage: String {
        "Connections are turned away, for no more than \(ProcessLimits.descriptors) files may be open; allow more "
            + "(LimitNOFILE=, ulimit -n)."
    }

    /// Looks whether descriptors are short, and says so in the log; called once a second.
    func lookForShortage() {
        guard loop.descriptorShortages > shortages.count else { return }
        if shortages.until <= loop.now { log.warning("\(Self.shortage)") }
        shortages = (loop.descriptorShortages, loop.now + 60_000_000_000)
    }

    /// Takes what the rates are made of, once a second; the reports of the roles, in their order.
    func sample() -> [StatusReport] {
        let reports = roles.map { $0.report() }
        for (place, report) in reports.enumerated() { meters[place].record(report.total, at: loop.now) }
        if cpuSamples.count > 10 { cpuSamples.removeFirst() }
        cpuSamples.append((loop.now, ProcessFigures.cpuSeconds))
        return reports
    }

    /// The reports of all roles, a client's first; the first has the figures of the process.
    private var all: [StatusReport] {
        var all: [StatusReport] = zip(roles, meters).map { role, meter in
            var report = role.report()
            report.uptime = Double((loop.now - startTime) / 1_000_000_000)
            report.setRate(meter.rate)
            if loop.now < shortages.until {
                report.problem = [report.problem, Self.shortage].compactMap(\.self).joined(separator: " ")
            }
            return report
        }.sorted { $0.role == .client && $1.role != .client }
        if !all.isEmpty { all[0].addProcess(startedAt: startedAt, cpuPercent: cpuPercent) }
        return all
    }

    /// The report of the process: that of its first role, with the others in it; nil for a process without roles.
    var status: StatusReport? {
        let all = all
        var first = all.first
        if all.count > 1 { first?.others = Array(all.dropFirst()) }
        return first
    }

    /// The figures for Prometheus.
    var metrics: String {
        var metrics = OpenMetrics()
        metrics.add(all)
        return metrics.text
    }

    /// The share of one processor over the last samples.
    private var cpuPercent: Double {
        guard let first = cpuSamples.first, let last = cpuSamples.last, last.time > first.time else { return 0 }
        return 100 * (last.seconds - first.seconds) / (Double(last.time - first.time) / 1e9)
    }

    /// What the status page shows.
    var page: WebFace.State {
        let status = status ?? StatusReport(role: .client, version: versionAndCommit)
        let node = ([status] + (status.others ?? [])).lazy.compactMap(\.node).first
        return WebFace.State(
            time: Double(loop.now) / 1e9, status: status, paths: asked(.paths, as: PathsReport.self)?.paths ?? [],
            streams: asked(.streams, as: StreamsReport.self)?.keys ?? [],
            exits: asked(.exits, as: ExitsReport.self)?.exits ?? [],
            registry: node.flatMap { asked(.nodes, $0, as: NodesReport.self)?.nodes.first },
            log: LogSink.shared.lines)
    }

    /// The first report that a role answers a command with; nil where none does.
    private func asked<Report>(_ command: ControlCommand, _ argument: String? = nil, as type: Report.Type) -> Report? {
        for role in roles {
            switch role.answer(command, argument) {
            case .report(let report): return report as? Report
            case .paths(let report): return report as? Report
            case .status, .refusal, nil: continue
            }
        }
        return nil
    }
}

internal import BuildInfo
internal import Control
internal import EventLoop
internal import Logging
internal import Process
internal import Wire

/// The reports of a process's roles, and what the process adds: rates, uptime, metrics, and lack of descriptors.
final class ProcessReports {
    private let loop: Loop
    private let roles: [any ProcessRole]
    private let log: Logger
    private var meters: [TrafficMeter]
    private let startTime: UInt64
    /// The wall clock at the start, in seconds since 1970.
    private let startedAt = currentTime().seconds
    /// Processor time at each of the last samples, with the sample's time in nanoseconds.
    private var cpuSamples: [(time: UInt64, seconds: Double)] = []
    /// How often connections were refused for lack of descriptors, and until when this is reported.
    private var shortages: (count: UInt64, until: UInt64) = (0, 0)

    init(of roles: [any ProcessRole], on loop: Loop, log: Logger) {
        self.loop = loop
        self.roles = roles
        self.log = log
        meters = roles.map { _ in TrafficMeter() }
        startTime = loop.now
    }

    /// The message about a lack of descriptors.
    private static var shortage: String {
        "Connections are refused, because only \(ProcessLimits.descriptors) files may be open; raise the limit "
            + "(LimitNOFILE=, ulimit -n)."
    }

    /// Checks for a lack of descriptors and logs it; called once a second.
    func lookForShortage() {
        guard loop.descriptorShortages > shortages.count else { return }
        if shortages.until <= loop.now { log.warning("\(Self.shortage)") }
        shortages = (loop.descriptorShortages, loop.now + 60_000_000_000)
    }

    /// Samples the counters for the rates, once a second; returns the roles' reports in their order.
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

    /// The report of the process: that of its first role, which contains the others; nil for a process without roles.
    var status: StatusReport? {
        let all = all
        var first = all.first
        if all.count > 1 { first?.others = Array(all.dropFirst()) }
        return first
    }

    /// The metrics in OpenMetrics format.
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

    /// The state for the status page.
    var page: StatusServer.State {
        let status = status ?? StatusReport(role: .client, version: versionAndCommit)
        let node = ([status] + (status.others ?? [])).lazy.compactMap(\.node).first
        return StatusServer.State(
            time: Double(loop.now) / 1e9, status: status, paths: asked(.paths, as: PathsReport.self)?.paths ?? [],
            streams: asked(.streams, as: StreamsReport.self)?.keys ?? [],
            exits: asked(.exits, as: ExitsReport.self)?.exits ?? [],
            registry: node.flatMap { asked(.nodes, $0, as: NodesReport.self)?.nodes.first },
            log: LogSink.shared.lines)
    }

    /// The report of the first role that answers a command; nil if none does.
    private func asked<Report>(_ command: ControlCommand, _ argument: String? = nil, as type: Report.Type) -> Report? {
        for role in roles {
            switch role.answer(command, argument) {
            case .report(let report): return report as? Report
            case .paths(let report): return report as? Report
            case .status, .refusal, .later, nil: continue
            }
        }
        return nil
    }
}

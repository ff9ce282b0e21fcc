internal import ArgumentParser
internal import Control
internal import Process
internal import Texts
internal import Wire

/// Prints the state of a running client or relay.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show what a running client or relay is doing.",
        discussion: """
            Examples:
              tunic status
              tunic status --control /var/lib/tunic/control.sock --json

            The exit status is 0 if the process is ready, and 1 if it is not.
            """)

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.status, as: StatusReport.self)
        let all = [report] + (report.others ?? [])
        print(target.json ? json(report) : all.map(Self.text).joined(separator: "\n\n"))
        guard report.isAllReady else { throw ExitCode(1) }
    }

    /// The report as a table of names and values.
    static func text(_ report: StatusReport) -> String {
        var table = Table()
        table.add("role", report.role.rawValue + (report.exit == true ? ", exit" : ""))
        if let node = report.node { table.add("node", node) }
        if let addresses = report.addresses { table.add("address", addresses.joined(separator: ", ")) }
        let flags = report.socksFlags ?? []
        for (number, address) in report.socks.enumerated() {
            let words = number < flags.count ? flags[number] : []
            table.add(number == 0 ? "proxy" : "", ([address] + words).joined(separator: ","))
        }
        table.add("version", report.version)
        table.add("running for", durationText(report.uptime))
        let state = report.draining == true ? "draining" : report.ready ? "yes" : "no"
        table.add("ready", report.problem.map { "\(state): \($0)" } ?? state)
        if let registry = report.registry { addRows(of: registry, to: &table) }
        if let watching = report.watching {
            let dead = watching.dead > 0 ? ", \(watching.dead) of them dead" : ""
            table.add(
                "nodes watched", "\(watching.watched)\(dead); \(watching.passed) of \(watching.tests) tests passed")
        }
        if let oxend = report.oxend { addRows(of: oxend, to: &table) }
        table.add("links", "\(report.links)")
        table.add("paths", "\(report.paths)")
        table.add("sessions", "\(report.sessions)")
        table.add("streams", "\(report.streams)")
        table.add("nodes known", "\(report.descriptors)")
        if let snapshot = report.snapshot { table.add("snapshot", text(snapshot)) }
        let (total, rate) = (report.total, report.rate)
        table.add("received", "\(total.packetsIn) packets, \(byteText(total.bytesIn)), \(byteText(rate.bytesIn))/s")
        table.add("sent", "\(total.packetsOut) packets, \(byteText(total.bytesOut)), \(byteText(rate.bytesOut))/s")
        table.add("dropped", counts(report.drops))
        let failed = report.failedBuilds.map { ", \($0) failed" } ?? ""
        table.add("paths built", "\(report.builds)\(failed)")
        if let refusals = report.refusals { table.add("refused", counts(refusals)) }
        if let times = report.buildTimes?.sorted(), let longest = times.last {
            let median = numberText(times[times.count / 2], decimals: 1)
            table.add("build time", "median \(median) ms, longest \(numberText(longest, decimals: 1)) ms")
        }
        return table.lines.joined(separator: "\n")
    }

    private static func text(_ snapshot: SnapshotReport) -> String {
        var text = "height \(snapshot.height), \(snapshot.digest), \(snapshot.nodes) nodes"
        if let count = snapshot.witnesses, count > 0 { text += ", the same at \(count) asked" }
        text += snapshot.list.map { ", descriptors of list \($0)" } ?? ", no list of descriptors yet"
        return snapshot.contradicted == true ? text + ", ANOTHER ONE at a node asked" : text
    }

    private static func addRows(of registry: RegistryReport, to table: inout Table) {
        let times = [
            registry.leavesAt.map { ("leaves at", $0) }, registry.maintenanceUntil.map { ("until", $0) },
            registry.deregistersAt.map { ("deregistered and locked at", $0) },
            registry.lockedUntil.map { ("stake locked until", $0) },
        ].compactMap(\.self).map { ", \($0.0) \(UnixTime(seconds: $0.1).dateText)" }.joined()
        table.add("registry", "\(registry.state.rawValue)\(times), as of block \(registry.height)")
        guard registry.stake > 0 else { return }
        table.add(
            "stake",
            "\(Amount.text(registry.stake)) SESH, fee \(Amount.percent(registry.fee)), "
                + "rewards \(Amount.text(registry.rewards)) SESH")
        table.add("credit", "\(creditText(registry.credit)) (hours, minutes, seconds)")
    }

    private static func addRows(of daemon: OxendReport, to table: inout Table) {
        let list = "height \(daemon.height), \(daemon.active) active and \(daemon.decommissioned) decommissioned nodes"
        table.add("oxend", daemon.height == 0 ? "no list yet" : list)
        table.add("oxend node", daemon.standing ?? "not listed")
        if let trouble = daemon.trouble {
            table.add("oxend trouble", "for \(durationText(daemon.silence)): \(trouble)")
        }
    }

    /// Counts by reason, largest first.
    private static func counts(_ counts: [String: UInt64]) -> String {
        let total = counts.values.reduce(0, &+)
        guard total > 0 else { return "0" }
        let reasons = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
        return "\(total) (\(reasons.joined(separator: ", ")))"
    }
}

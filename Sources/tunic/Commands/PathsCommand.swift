internal import ArgumentParser
internal import Control
internal import Process
internal import Texts

/// Asks a running client for its paths.
struct PathsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "paths", abstract: "Show the paths of a running client, guard first.",
        discussion: """
            Examples:
              tunic paths
              tunic paths --control /tmp/tunic/control.sock --json
            """)

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.paths, as: PathsReport.self)
        print(target.json ? json(report) : Self.text(report))
    }

    /// The report as a table, with the first letters of nodes' addresses; a narrow table has fewer columns.
    static func text(_ report: PathsReport, isNarrow: Bool = false) -> String {
        guard !report.paths.isEmpty else { return "no paths yet" }
        var table = Table()
        let time = { (value: Double?) in value.map { "\(numberText($0, decimals: 1)) ms" } ?? "-" }
        guard !isNarrow else {
            table.add("active", "to exit", "hops, guard first")
            for path in report.paths {
                table.add(
                    path.state == "ready" ? path.active ? "yes" : "no" : path.state, time(path.roundTrip),
                    path.hops.map { String($0.prefix(8)) }.joined(separator: " > "))
            }
            return table.lines.joined(separator: "\n")
        }
        table.add(
            "state", "active", "age", "rtt to guard", "to exit", "built in", "received", "sent", "hops, guard first")
        for path in report.paths {
            table.add(
                path.state, path.active ? "yes" : "no", durationText(path.age),
                time(path.guardRoundTrip), time(path.roundTrip), time(path.buildTime), byteText(path.bytesIn),
                byteText(path.bytesOut), path.hops.map(shortened).joined(separator: " > "))
        }
        return table.lines.joined(separator: "\n")
    }

    static func shortened(_ node: String) -> String {
        node.hasSuffix(".snode") && node.count > 16 ? "\(node.prefix(8))…snode" : node
    }
}

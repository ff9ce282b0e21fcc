internal import ArgumentParser
internal import Control

/// Lists the nodes of the registry.
struct NodesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nodes", abstract: "Show the nodes of the registry, as a running relay has it.",
        discussion: """
            Examples:
              tunic nodes --control /var/lib/tunic/control.sock
              tunic nodes --control /var/lib/tunic/control.sock --json
              tunic nodes --control /var/lib/tunic/control.sock NODE
            """)

    @OptionGroup var target: ControlOptions

    @Argument(help: ArgumentHelp("Only this node, with what each account has in it.", valueName: "node"))
    var node: String?

    func run() throws {
        let report = try target.ask(.nodes, node, as: NodesReport.self)
        print(target.json ? json(report) : Self.text(report))
    }

    /// The report as a table.
    static func text(_ report: NodesReport) -> String {
        var table = Table()
        table.add("node", "state", "stake", "fee", "uptime", "credit", "last test", "kB/s", "operator")
        for node in report.nodes {
            let state = node.leavesAt == nil ? node.state : "\(node.state), leaving"
            table.add(
                node.id, state, Amount.text(node.stake), Amount.percent(node.fee), durationText(Double(node.uptime)),
                durationText(Double(node.credit)), node.lastTest.map { "\(durationText(Double($0))) ago" } ?? "-",
                node.capacity.map { "\($0)" } ?? "-", String(node.operator.prefix(16)))
        }
        var lines = table.lines
        for part in report.nodes.first?.contributions ?? [] {
            lines.append("  \(part.account)  \(Amount.text(part.amount))")
        }
        lines.append("block \(report.height), \(report.nodes.count) nodes, pool \(Amount.text(report.pool)) SESH")
        return lines.joined(separator: "\n")
    }
}

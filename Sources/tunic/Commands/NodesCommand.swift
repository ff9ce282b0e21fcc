internal import ArgumentParser
internal import Control
internal import Process
internal import Texts
internal import Wire

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

    @Argument(help: ArgumentHelp("Only this node, with the stake of each account in it.", valueName: "node"))
    var node: String?

    func run() throws {
        let report = try target.ask(.nodes, node, as: NodesReport.self)
        print(target.json ? json(report) : Self.text(report))
    }

    /// The report as a table.
    static func text(_ report: NodesReport) -> String {
        var table = Table()
        // Without a ledger the registry has only the staked nodes.
        let hasLedger = report.fullStake > 0
        let stakes = ["stake", "fee", "uptime", "credit"]
        table.add(["node", "state"] + (hasLedger ? stakes : []) + ["last test", "kB/s", "operator"])
        for node in report.nodes {
            let state = node.leavesAt.map { "\(node.state), leaves \(UnixTime(seconds: $0).dateText)" } ?? node.state
            let held = [
                Amount.text(node.stake), Amount.percent(node.fee), durationText(Double(node.uptime)),
                creditText(node.credit),
            ]
            table.add(
                [node.id, state] + (hasLedger ? held : []) + [
                    test(of: node), node.capacity.map { "\($0)" } ?? "-", String(node.operator.prefix(16)),
                ])
        }
        var lines = table.lines
        if report.nodes.count == 1, let node = report.nodes.first, let text = standing(of: node) {
            lines.append("  \(text)")
        }
        for part in report.nodes.first?.contributions ?? [] {
            lines.append("  \(part.account)  \(Amount.text(part.amount))")
        }
        let pool = hasLedger ? ", pool \(Amount.text(report.pool)) SESH" : ""
        lines.append("\(hasLedger ? "block" : "height") \(report.height), \(report.nodes.count) nodes\(pool)")
        return lines.joined(separator: "\n")
    }

    /// The meaning of a node's state, its end and the remedy; nil if there is nothing to do.
    private static func standing(of node: NodesReport.Node) -> String? {
        func date(_ time: UInt64?) -> String { time.map { UnixTime(seconds: $0).dateText } ?? "-" }
        return switch node.state {
        case "maintenance":
            "in maintenance, at its own request, until \(date(node.maintenanceUntil)); then active again"
        case "decommissioned" where node.deregistersAt != nil:
            "others found that it did not serve; active again when it passes their tests, else deregistered at "
                + "\(date(node.deregistersAt)) and its stake locked; run 'tunic relay --check' there"
        case "deregistered":
            "deregistered: it was away for longer than its credit; its stake is locked until \(date(node.lockedUntil)), then "
                + "free; it can be registered again with another stake"
        default: nil
        }
    }

    /// When the node was last tested, and whether it failed.
    private static func test(of node: NodesReport.Node) -> String {
        guard let age = node.lastTest else { return "-" }
        let text = "\(durationText(Double(age))) ago"
        guard let marks = node.marks, marks > 0, node.lastPass.map({ $0 > age }) ?? true else { return text }
        return marks >= 3 ? "\(text), dead" : "\(text), failed"
    }
}

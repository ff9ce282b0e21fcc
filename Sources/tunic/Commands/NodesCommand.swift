internal import ArgumentParser
internal import Control
internal import Daemon
internal import Process

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
        print(target.json ? json(report) : report.text)
    }
}

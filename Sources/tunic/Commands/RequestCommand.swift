internal import ArgumentParser
internal import Control
internal import Process
internal import Wire

/// Asks a node by an onion request.
struct RequestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "request", abstract: "Ask a node for its state by an onion request of a running client.",
        discussion: """
            Examples:
              tunic request NODE status
              tunic request NODE status --json

            The request goes through a path of the client to another node, which passes it on: the node that answers \
            does not learn who asks. It tells the height of the snapshot that it trusts, and whether it stores for \
            applications. An answer takes 10 seconds at most.
            """)

    /// What a node can be asked.
    enum Method: String, ExpressibleByArgument, CaseIterable {
        case status
    }

    @Argument(help: ArgumentHelp("The node's id.", valueName: "node"), transform: nodeName)
    var node: NodeID
    @Argument(help: ArgumentHelp("What to ask.", valueName: "method"))
    var method: Method
    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(
            .request, "\(node) \(method.rawValue)", within: 15, as: RequestReport.self)
        print(target.json ? json(report) : report.text)
    }
}

internal import ArgumentParser
internal import Bench
internal import Control
internal import Process
internal import Provision

/// Fetches a page through a running client and prints the time of each step.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Fetch a page through a running client, with its exit and the time of each stage.",
        discussion: """
            Examples:
              tunic check http://checkip.amazonaws.com/
              tunic check https://example.org/ --json

            The exit resolves the name. If the page is only an IP address, it is shown as the exit's public address. For an \
            https address only the first step of TLS is made, to see that the server supports it: its certificate is not \
            checked, and no page is fetched. No answer is a failure (69).
            """)

    @Argument(help: "An http or https address.")
    var url: String
    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try ClientCheck.run(url, through: try target.process())
        print(target.json ? json(report) : report.text)
    }
}

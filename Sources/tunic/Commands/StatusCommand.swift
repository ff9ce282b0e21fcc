internal import ArgumentParser
internal import Control
internal import Process

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
        print(target.json ? json(report) : all.map(\.text).joined(separator: "\n\n"))
        guard report.isAllReady else { throw ExitCode(1) }
    }
}

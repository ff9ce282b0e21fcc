internal import ArgumentParser
internal import Control
internal import Process

/// Asks a running client or relay what it is doing.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show what a running client or relay is doing.",
        discussion: """
            Examples:
              tunic status
              tunic status --control /var/lib/tunic/control.sock --json

            It ends with 0 when the process is ready, with 1 when it is not.
            """)

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.status, as: StatusReport.self)
        let all = [report] + (report.others ?? [])
        print(target.json ? json(report) : all.map(\.text).joined(separator: "\n\n"))
        guard report.isAllReady else { throw ExitCode(1) }
    }
}

internal import ArgumentParser
internal import Control
internal import Process

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
        print(target.json ? json(report) : report.text())
    }
}

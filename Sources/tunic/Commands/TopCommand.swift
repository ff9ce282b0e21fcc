internal import ArgumentParser
internal import Control
internal import Process
internal import Provision

/// A live view.
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Watch a running process: throughput, paths, streams; q ends it.",
        discussion: "Examples:\n  tunic top\n  tunic top --once")

    @Flag(help: "Print one view and end.")
    var once = false
    @OptionGroup var target: ControlOptions

    func run() throws {
        if target.json { return print(json(try target.ask(.status, as: StatusReport.self))) }
        try LiveView.run(of: try target.process(), once: once)
    }
}

internal import ArgumentParser
internal import Control
internal import Process

/// The options of the commands that use a running process.
struct ControlOptions: ParsableArguments {
    @Option(
        help: "The process' control socket (default: $TUNIC_CONTROL, else this user's client's or the service's).")
    var control: String?

    @Flag(help: "Print the report as one line of JSON.")
    var json = false

    /// The running process.
    func process() throws(Failure) -> ControlTarget { try ControlTarget(control) }

    /// Sends a request and waits at most so many seconds for the answer.
    func ask<Report: Decodable>(
        _ command: ControlCommand, _ argument: String? = nil, within seconds: UInt64 = 5, as type: Report.Type
    ) throws(Failure) -> Report {
        try process().ask(command, argument, within: seconds, as: type)
    }
}

internal import ArgumentParser
internal import Control
internal import EventLoop

/// The options of the commands that ask a running process.
struct ControlOptions: ParsableArguments {
    @Option(help: "The process' control socket (default: the one of this user's client).")
    var control: String?

    @Flag(help: "Print the report as one line of JSON.")
    var json = false

    /// Asks and waits for the answer, for five seconds at most.
    func ask<Report: Decodable>(
        _ command: ControlCommand, _ argument: String? = nil, as type: Report.Type
    ) throws(Failure) -> Report {
        let path = if let control { control } else { try ClientFolder.defaultPath() + "/" + ClientFolder.socketName }
        var result: Result<Report, ControlError>?
        let loop = try makeLoop()
        ControlClient.ask(command, argument: argument, at: path, on: loop, as: type) {
            result = $0
            loop.stop()
        }
        if result == nil { loop.run() }
        loop.close()
        switch result {
        case .success(let report): return report
        case .failure(let error): throw Failure.of(error, path)
        case nil: throw Failure(.software, "\(path): no answer")
        }
    }
}

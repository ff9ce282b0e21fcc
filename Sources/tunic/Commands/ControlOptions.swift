internal import ArgumentParser
internal import Control
internal import EventLoop

/// The options of the commands that ask a running process.
struct ControlOptions: ParsableArguments {
    @Option(
        help: "The process' control socket (default: $TUNIC_CONTROL, else this user's client's or the service's).")
    var control: String?

    @Flag(help: "Print the report as one line of JSON.")
    var json = false

    /// The socket: the one that was given, `TUNIC_CONTROL`, the user's client's, or the system's service's.
    func path() throws(Failure) -> String {
        if let given = control ?? Files.environment("TUNIC_CONTROL") { return given }
        let service = "/run/tunic/\(ClientFolder.socketName)"
        do throws(Failure) {
            let own = try ClientFolder.defaultPath() + "/" + ClientFolder.socketName
            return !Files.exists(own) && (Files.exists(service) || Self.isServiceHidden) ? service : own
        } catch {
            // Without a home there can be no client of this user's.
            guard Files.exists(service) || Self.isServiceHidden else { throw error }
            return service
        }
    }

    /// Whether there is a service whose folder this user may not look into.
    private static var isServiceHidden: Bool { Files.isFolder("/run/tunic") && !Files.maySearch("/run/tunic") }

    /// Asks and waits for the answer, for five seconds at most.
    func ask<Report: Decodable>(
        _ command: ControlCommand, _ argument: String? = nil, as type: Report.Type
    ) throws(Failure) -> Report {
        let path = try self.path()
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

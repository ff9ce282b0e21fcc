package import Control
internal import EventLoop

/// A running process, addressed by its control socket.
package struct ControlTarget {
    /// The control socket.
    package let path: String

    /// The given socket, or `TUNIC_CONTROL`, the user's client's, or the system service's.
    package init(_ given: String?) throws(Failure) {
        path = try Self.path(given)
    }

    private static func path(_ given: String?) throws(Failure) -> String {
        if let given = given ?? Files.environment("TUNIC_CONTROL") { return given }
        let service = "/run/tunic/\(ClientFolder.socketName)"
        do throws(Failure) {
            let own = try ClientFolder.defaultPath() + "/" + ClientFolder.socketName
            return !Files.exists(own) && (Files.exists(service) || isServiceHidden) ? service : own
        } catch {
            // Without a home folder this user cannot have a client.
            guard Files.exists(service) || isServiceHidden else { throw error }
            return service
        }
    }

    /// Whether there is a service whose folder this user may not enter.
    private static var isServiceHidden: Bool { Files.isFolder("/run/tunic") && !Files.maySearch("/run/tunic") }

    /// Sends a request and waits at most so many seconds for the answer.
    ///
    /// A failure says how to start `asked`, by default the kind of process that has this command.
    package func ask<Report: Decodable>(
        _ command: ControlCommand, _ argument: String? = nil, of asked: AskedProcess? = nil,
        within seconds: UInt64 = 5, as type: Report.Type
    ) throws(Failure) -> Report {
        var result: Result<Report, ControlError>?
        let loop = try makeLoop()
        ControlClient.ask(
            command, argument: argument, at: path, on: loop, as: type, timeout: seconds * 1_000_000_000
        ) {
            result = $0
            loop.stop()
        }
        if result == nil { loop.run() }
        loop.close()
        switch result {
        case .success(let report): return report
        case .failure(let error): throw Failure.of(error, path, asked: asked ?? AskedProcess(command))
        case nil: throw Failure(.software, "\(path): no answer")
        }
    }
}

internal import Bench
internal import Control
internal import EventLoop

/// The processes of a measured network, and the client's control socket.
final class BenchMembers: Subject {
    let processes: [SubjectProcess]
    /// The client's SOCKS5 address; nil if it has not reported one.
    let socks: SocketAddress?
    private let loop: Loop
    private let control: String

    init(on loop: Loop, control: String, processes: [SubjectProcess], socks: SocketAddress? = nil) {
        self.loop = loop
        self.control = control
        self.processes = processes
        self.socks = socks
    }

    /// A client that does not answer has no path here.
    func askPath(_ completion: @escaping ([String]?) -> Void) {
        ControlClient.ask(.paths, at: control, on: loop, as: PathsReport.self) { result in
            let active = (try? result.get())?.paths.filter(\.active) ?? []
            completion(active.count == 1 ? active[0].hops : nil)
        }
    }

    /// A client that does not answer has no builds here.
    func askBuilds(_ completion: @escaping (SubjectBuilds?) -> Void) {
        ControlClient.ask(.status, at: control, on: loop, as: StatusReport.self) { result in
            guard let status = try? result.get(), let times = status.buildTimes else { return completion(nil) }
            completion(SubjectBuilds(built: status.builds ?? 0, failed: status.failedBuilds ?? 0, times: times))
        }
    }
}

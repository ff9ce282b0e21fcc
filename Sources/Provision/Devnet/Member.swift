internal import CShims
internal import Control
internal import EventLoop
internal import Glibc
internal import Process

/// A process of the network.
final class Member {
    let name: String
    let folder: String
    /// The path of its control socket.
    var control: String
    private(set) var pid: Int32 = 0
    private var process: ChildProcess?
    private var exit: ChildProcess.ExitStatus?
    private var isAsking = false
    /// Its last status report.
    private(set) var status: StatusReport?

    init(name: String, folder: String) {
        self.name = name
        self.folder = folder
        control = "\(folder)/\(ClientFolder.socketName)"
    }

    private var log: String { "\(folder)/log" }
    /// Whether it was started and has not ended.
    var isRunning: Bool { process != nil }
    /// Whether its last status report said that it is ready.
    var isReady: Bool { status?.ready ?? false }

    /// The present state for users.
    var condition: String {
        let last = Files.lastLine(log).map { ": \($0)" } ?? ""
        switch exit {
        case .status(let status): return "has ended with status \(status)\(last)"
        // A killed process could not report a reason.
        case .signal(SIGKILL): return "was killed"
        case .signal(let signal): return "was ended by signal \(signal)\(last)"
        case nil: break
        }
        if process == nil { return "was not started" }
        return status.map { sentence($0.problem) ?? "not ready" } ?? "does not answer\(last)"
    }

    /// A sentence without its full stop, for use in a list.
    private func sentence(_ text: String?) -> String? {
        text.map { $0.hasSuffix(".") ? String($0.dropLast()) : $0 }
    }

    /// The path of this program, as `/proc/self/exe` links to it; `/proc/self/exe` itself if the file was replaced.
    ///
    /// Without `/proc` it is the path that was passed to the kernel to start this program.
    static let program: String = {
        let name = "/proc/self/exe"
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink(name, &buffer, buffer.count - 1)
        guard length > 0 else {
            guard let asked = unsafe shim_program_path() else { return name }
            return Files.resolved(unsafe String(cString: asked))
        }
        let path = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return Files.exists(path) ? path : name
    }()

    /// Starts this program with `arguments`, its log in its folder; calls `onEnd` after it has ended.
    func start(on loop: Loop, _ arguments: [String], onEnd: @escaping () -> Void) throws(Failure) {
        var command = ChildProcess.Command(
            Self.program, arguments + ["--parent-fd", "\(ParentWatch.inheritedDescriptor)"])
        command.environment = MemberEnvironment.variables
        command.output = .ignored
        command.error = .file(log)
        command.isDetached = true
        command.watchesParent = true
        do throws(UVError) {
            process = try ChildProcess(on: loop, command) { [unowned self] exit in
                self.exit = exit
                process = nil
                onEnd()
            }
        } catch {
            throw Failure(.system, "cannot start \(name): \(error.call) failed (\(error.name))")
        }
        pid = process?.processIdentifier ?? 0
    }

    /// Asks for the status, unless a request is under way.
    func ask(on loop: Loop) {
        guard isRunning, !isAsking else { return }
        isAsking = true
        ControlClient.ask(.status, at: control, on: loop, as: StatusReport.self, timeout: 2_000_000_000) { [self] in
            isAsking = false
            if case .success(let report) = $0 { status = report }
        }
    }

    /// Sends a signal if it runs.
    func kill(_ signal: Int32) { process?.send(signal: signal) }
}

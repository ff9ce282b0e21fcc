internal import Bench
internal import Control
internal import EventLoop
internal import Glibc
internal import Process

/// The benchmark's own client process, in a temporary folder.
final class BenchClient {
    private static let readyLimit: UInt64 = 30_000_000_000
    private static let killLimit: UInt64 = 2_000_000_000

    private let loop: Loop
    private var folder: String?
    private var member: Member?
    private var timer: LoopTimer?
    private var deadline: UInt64 = 0
    private var whenReady: ((Result<BenchMembers, Failure>) -> Void)?
    private var whenEnded: (() -> Void)?

    init(on loop: Loop) { self.loop = loop }

    /// Starts a client of the network of `file`; calls `completion` once, when a path is ready or the start has failed.
    func start(network file: String, hops: Int, _ completion: @escaping (Result<BenchMembers, Failure>) -> Void) {
        whenReady = completion
        deadline = loop.now + Self.readyLimit
        timer = LoopTimer(on: loop) { [unowned self] in ticked() }
        do throws(Failure) {
            let folder = try Files.makeTemporaryFolder("tunic-bench")
            self.folder = folder
            let member = Member(name: "the client", folder: folder)
            self.member = member
            try member.start(
                on: loop,
                [
                    "client", "--network", file, "--socks", "127.0.0.1:0", "--data", folder, "--hops", "\(hops)",
                    "--log-level", "warning",
                ]
            ) { [unowned self] in memberEnded() }
            timer?.schedule(at: loop.now)
        } catch {
            report(.failure(error))
        }
    }

    /// Stops the client, by force if it takes too long, and then calls back.
    func end(_ completion: @escaping () -> Void) {
        whenReady = nil
        guard let member, member.isRunning else { return completion() }
        whenEnded = completion
        member.kill(SIGTERM)
        deadline = loop.now + Self.killLimit
        timer?.schedule(at: deadline)
    }

    func removeFolder() {
        if let folder { Files.remove(folder) }
        folder = nil
    }

    private func report(_ result: Result<BenchMembers, Failure>) {
        let completion = whenReady
        whenReady = nil
        completion?(result)
    }

    private func memberEnded() {
        timer?.cancel()
        if let whenEnded { return whenEnded() }
        let failure = Failure(.unavailable, "the client \(member?.condition ?? "has ended")")
        if whenReady != nil { report(.failure(failure)) } else { complain(failure.message) }
    }

    private func ticked() {
        guard let member else { return }
        if whenEnded != nil { return member.kill(SIGKILL) }
        guard whenReady != nil else { return }
        if member.isReady, let socks = member.status?.socks.first.flatMap({ SocketAddress($0) }) {
            return report(
                .success(
                    BenchMembers(
                        on: loop, control: member.control, processes: [SubjectProcess(pid: member.pid)], socks: socks)))
        }
        guard loop.now < deadline else {
            return report(.failure(Failure(.unavailable, "no path after 30 s: the client \(member.condition)")))
        }
        member.ask(on: loop)
        timer?.schedule(at: loop.now + 50_000_000)
    }
}

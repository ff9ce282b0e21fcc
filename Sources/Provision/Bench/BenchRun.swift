package import Bench
internal import BuildInfo
internal import Control
internal import Directory
internal import EventLoop
internal import Glibc
internal import Links
package import Process
package import Wire

/// One run of the benchmark: starts the subject, measures it, and stops it.
package final class BenchRun {
    /// The subject of a measurement.
    package enum Subject {
        /// A network of the benchmark's own, with the default limits or higher ones.
        case devnet(hops: Int, raisesLimits: Bool)
        /// The network of a file, through a client of the benchmark's own.
        case network(String, ProxyTarget, hops: Int)
        /// Any SOCKS5 proxy.
        case proxy(Endpoint, ProxyTarget?)
        /// A direct connection.
        case direct(ProxyTarget?)
    }

    private let plan: Benchmark.Plan
    private let subject: Subject
    private let progress = BenchProgress()
    private var benchmark: Benchmark?
    private var client: BenchClient?
    private var report: BenchReport?
    /// The machine's state before the run.
    private let host = BenchReport.Host.current()

    /// A run whose report is written to the files of `outputs`, which are checked now; `-` is standard output.
    package init(_ plan: Benchmark.Plan, _ subject: Subject, outputs: [String]) throws(Failure) {
        self.plan = plan
        self.subject = subject
        for path in outputs where path != "-" { try Files.checkWritable(path) }
        // Both ends of each stream are in this process, and the loop keeps a reserve.
        let needed = 2 * ((plan.streams.max() ?? 1) + plan.besides + plan.inFlight) + 200
        guard needed <= ProcessLimits.descriptors else {
            throw Failure(
                .configuration,
                "\(plan.streams.max() ?? 1) streams need \(needed) descriptors, but this process may have "
                    + "\(ProcessLimits.descriptors); raise the limit (ulimit -n) or give smaller --streams")
        }
    }

    /// The largest report file of an older run, in bytes.
    private static let largestReport = 16 << 20

    /// Reads the report of an older run.
    package static func report(in file: String) throws(Failure) -> BenchReport {
        let text = try Files.read(file, limit: largestReport)
        guard let report = Control.decoded(text, as: BenchReport.self) else {
            throw Failure(.data, "\(file) is not a report of 'tunic bench --json'")
        }
        return report
    }

    /// Measures until the end, a failure or a signal; returns the report, nil after a signal, and the exit status.
    package func run() throws(Failure) -> (report: BenchReport?, status: Int32) {
        defer { progress.clear() }
        if let warning = host.warning { progress.keep("note: \(warning)") }
        let status =
            switch subject {
            case .devnet(let hops, let raisesLimits): try runDevnet(hops: hops, raisesLimits: raisesLimits)
            case .network, .proxy, .direct: try runAlone()
            }
        guard let report else { return (nil, status) }
        return (report, report.faults.isEmpty ? 0 : Failure.Code.unavailable.rawValue)
    }

    // MARK: - A network of its own

    /// Limits that new connections and paths do not reach, so that only the program's speed bounds them.
    private static var raisedLimits: NetworkLimits {
        var limits = NetworkLimits()
        (limits.clientBuildsPerSecond, limits.clientBuildBurst, limits.buildsPerSecond) = (2_000, 2_000, 5_000)
        limits.pathsPerClientLink = 10_000
        (limits.streamsPerSecond, limits.streamBurst) = (20_000, 20_000)
        return limits
    }

    private func runDevnet(hops: Int, raisesLimits: Bool) throws(Failure) -> Int32 {
        var options = Devnet.Options(socks: Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 0))
        (options.nodes, options.exits, options.hops) = (Self.nodes, Self.exits, hops)
        if raisesLimits { options.limits = Self.raisedLimits }
        options.logLevel = "warning"
        options.endsBySignal = false
        let devnet = try Devnet(options, watcher: self)
        progress.show("starting \(Self.nodes) nodes and a client")
        return try devnet.run()
    }

    private static let nodes = 6, exits = 2

    // MARK: - Everything else

    private func runAlone() throws(Failure) -> Int32 {
        let loop = try makeLoop()
        var result: Result<Int32, Failure> = .success(0)
        func end(_ with: Result<Int32, Failure>) {
            result = with
            benchmark?.close()
            if let client { client.end { loop.stop() } } else { loop.stop() }
        }
        let signals: Signals
        do {
            signals = try Signals(on: loop) { end(.success(128 + ($0 == .interrupt ? SIGINT : SIGTERM))) }
        } catch {
            throw Failure(.system, "cannot watch for signals: \(error)")
        }
        // Begins in the loop's first turn, because a failure that ends the run at once must find the loop running.
        let start = LoopTimer(on: loop) { [unowned self] in
            switch subject {
            case .proxy(let socks, let target):
                begin(on: loop, route: Route(proxy: SocketAddress(socks), target: target), members: nil, hops: nil) {
                    end($0.map { 0 })
                }
            case .direct(let target):
                begin(on: loop, route: Route(proxy: nil, target: target), members: nil, hops: nil) { end($0.map { 0 }) }
            case .network(let file, let target, let hops):
                progress.show("starting a client")
                let client = BenchClient(on: loop)
                self.client = client
                client.start(network: file, hops: hops) { [unowned self] ready in
                    switch ready {
                    case .failure(let failure): end(.failure(failure))
                    case .success(let members):
                        begin(
                            on: loop, route: Route(proxy: members.socks, target: target), members: members, hops: hops
                        ) { end($0.map { 0 }) }
                    }
                }
            case .devnet: break
            }
        }
        start.schedule(at: loop.now)
        loop.run()
        start.close()
        signals.close()
        loop.close()
        client?.removeFolder()
        return try result.get()
    }

    // MARK: - Measuring

    private func begin(
        on loop: Loop, route: Route, members: BenchMembers?, hops: Int?,
        completion: @escaping (Result<Void, Failure>) -> Void
    ) {
        var settings = BenchReport.Settings(subject: subjectText, hops: hops, plan: plan)
        if case .devnet(_, let raisesLimits) = subject { settings.limits = raisesLimits ? .raised : .byDefault }
        do throws(UVError) {
            let benchmark = try Benchmark(
                on: loop, plan, along: route, subject: members,
                report: BenchReport(
                    version: versionAndCommit, date: timestampText(), host: host, settings: settings),
                watcher: progress)
            self.benchmark = benchmark
            benchmark.start { [unowned self] in
                report = $0
                completion(.success(()))
            }
        } catch {
            completion(.failure(Failure(.system, "cannot listen at 127.0.0.1: \(error)")))
        }
    }

    private var subjectText: String {
        switch subject {
        case .devnet: "a network of \(Self.nodes) nodes on this machine"
        case .network(let file, let target, _): "the network of \(file), to \(target)"
        case .proxy(let socks, let target): "the SOCKS5 proxy at \(socks)" + (target.map { ", to \($0)" } ?? "")
        case .direct(let target): "no proxy" + (target.map { ", to \($0)" } ?? "")
        }
    }
}

extension BenchRun: DevnetWatcher {
    package func starting(_ text: String) {}

    package func ready(_ devnet: Devnet, _ announcement: DevnetAnnouncement) {
        guard case .devnet(let hops, _) = subject else { return }
        let members = BenchMembers(
            on: devnet.loop, control: announcement.control,
            processes: [SubjectProcess(pid: announcement.client.pid)]
                + announcement.nodes.map { SubjectProcess(pid: $0.pid, node: $0.id) })
        begin(
            on: devnet.loop, route: Route(proxy: SocketAddress(announcement.socks), target: nil), members: members,
            hops: hops
        ) { [unowned devnet] in devnet.end($0.map { 0 }) }
    }

    package func memberEnded(_ text: String) { complain(text) }
    package func ending() { benchmark?.close() }
}

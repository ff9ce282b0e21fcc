internal import Bench
internal import BuildInfo
internal import Control
internal import Directory
internal import EventLoop
internal import Glibc
internal import Links
internal import Wire

/// One run of `tunic bench`: starts what is measured, measures, and ends it.
final class BenchRun {
    /// What is measured.
    enum Subject {
        /// A network of its own.
        case devnet(hops: Int)
        /// The network of a file, through a client of its own.
        case network(String, Target, hops: Int)
        /// Any SOCKS5 proxy.
        case proxy(Endpoint, Target?)
        /// No proxy.
        case direct(Target?)
    }

    private let plan: Benchmark.Plan
    private let subject: Subject
    private let json: String?
    private let html: String?
    /// The older run to compare with, and its file.
    private let older: (report: BenchReport, file: String)?
    private let progress = BenchProgress()
    private var benchmark: Benchmark?
    private var client: BenchClient?
    private var report: BenchReport?
    /// The machine, as it was before the run.
    private let host = BenchReport.Host.current()

    init(
        _ plan: Benchmark.Plan, _ subject: Subject, json: String?, html: String?, compare: String? = nil
    ) throws(Failure) {
        if let compare {
            let text = try Files.read(compare, limit: Self.largestReport)
            guard let report = Control.decoded(text, as: BenchReport.self) else {
                throw Failure(.data, "\(compare) is no report of 'tunic bench --json'")
            }
            older = (report, compare)
        } else {
            older = nil
        }
        self.plan = plan
        self.subject = subject
        self.json = json
        self.html = html
        for path in [json, html] { if let path, path != "-" { try Files.checkWritable(path) } }
        // Both ends of each stream are ours, and the loop keeps a reserve.
        let needed = 2 * ((plan.streams.max() ?? 1) + plan.besides + plan.inFlight) + 200
        guard needed <= ProcessLimits.descriptors else {
            throw Failure(
                .configuration,
                "\(plan.streams.max() ?? 1) streams need \(needed) descriptors, but this process may have "
                    + "\(ProcessLimits.descriptors); raise the limit (ulimit -n) or give smaller --streams")
        }
    }

    /// The largest report of an older run.
    private static let largestReport = 16 << 20

    /// Measures until the end, a failure or a signal; the status for the process.
    func run() throws(Failure) -> Int32 {
        defer { progress.clear() }
        if let warning = host.warning { progress.keep("note: \(warning)") }
        let status =
            switch subject {
            case .devnet(let hops): try runDevnet(hops: hops)
            case .network, .proxy, .direct: try runAlone()
            }
        progress.clear()
        guard let report else { return status }
        try write(report)
        let faults = report.faults
        guard !faults.isEmpty else { return 0 }
        complain(
            faults.count == 1 ? faults[0] : "\(faults.count) measurements have no figure, \(faults[0]) is the first")
        return Failure.Code.unavailable.rawValue
    }

    // MARK: - A network of its own

    /// New connections and new paths a second are to be what the program can do, not what the default limits allow.
    private static var limits: NetworkLimits {
        var limits = NetworkLimits()
        (limits.clientBuildsPerSecond, limits.clientBuildBurst, limits.buildsPerSecond) = (2_000, 2_000, 5_000)
        limits.pathsPerClientLink = 10_000
        (limits.streamsPerSecond, limits.streamBurst) = (20_000, 20_000)
        return limits
    }

    private func runDevnet(hops: Int) throws(Failure) -> Int32 {
        let devnet = try Devnet(
            .init(
                nodes: Self.nodes, exits: Self.exits, socks: Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 0),
                folder: nil, hops: hops, pathUse: 900, packetSize: NetworkFile.defaultPacketSize, limits: Self.limits,
                printsJSON: false, logLevel: "warning", command: []))
        devnet.onReady = { [unowned self, unowned devnet] announcement in
            let members = BenchMembers(
                on: devnet.loop, control: announcement.control,
                processes: [SubjectProcess(pid: announcement.client.pid)]
                    + announcement.nodes.map { SubjectProcess(pid: $0.pid, node: $0.id) })
            begin(
                on: devnet.loop, route: Route(proxy: SocketAddress(announcement.socks), target: nil), members: members,
                hops: hops
            ) { devnet.end($0.map { 0 }) }
        }
        devnet.onEnd = { [unowned self] in benchmark?.close() }
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
        // Begins in the loop's first turn: what ends it at once must find it running.
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
        let settings = BenchReport.Settings(subject: subjectText, hops: hops, plan: plan)
        do throws(UVError) {
            let benchmark = try Benchmark(
                on: loop, plan, along: route, subject: members,
                report: BenchReport(
                    version: versionAndCommit, date: ConsoleLog.timestamp(), host: host, settings: settings))
            self.benchmark = benchmark
            benchmark.progressed = { [progress] in progress.show($0) }
            benchmark.measured = { [progress] in progress.keep($0) }
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

    private func comparison(_ report: BenchReport, _ old: BenchReport, _ file: String) -> [String] {
        var lines = report.comparison(with: old).lines
        lines.append("then: \(file), tunic \(old.version), \(old.date); now: tunic \(report.version)")
        let differences = report.differences(from: old)
        if !differences.isEmpty {
            lines.append("the two runs differ, so the ratios say less: " + differences.joined(separator: "; "))
        }
        return lines
    }

    // MARK: - The report

    private func write(_ report: BenchReport) throws(Failure) {
        if json != "-", html != "-" {
            let tables = report.tables.map { $0.lines.joined(separator: "\n") }
            print(([report.conditions] + tables + [report.advice]).joined(separator: "\n\n"))
            if let older { print("\n" + comparison(report, older.report, older.file).joined(separator: "\n")) }
        }
        if let json { try Files.write(json, Control.json(report) + "\n") }
        if let html { try Files.write(html, report.page) }
    }
}

/// What people see on standard error while a run goes on: on a terminal a line that changes, else only what stays.
final class BenchProgress {
    private let isTerminal = isatty(STDERR_FILENO) == 1

    /// Shows a line in place of the one before.
    func show(_ text: String) {
        if isTerminal { writeAll("\r\u{1b}[K\(text)", to: STDERR_FILENO) }
    }

    /// Shows a line that stays.
    func keep(_ text: String) {
        clear()
        writeAll("\(text)\n", to: STDERR_FILENO)
    }

    /// Removes the line that changes.
    func clear() {
        if isTerminal { writeAll("\r\u{1b}[K", to: STDERR_FILENO) }
    }
}

/// Serves as the far end of others' benchmarks.
enum BenchSink {
    /// Listens at `address` until a signal; the status for the process.
    static func run(at address: Endpoint) throws(Failure) -> Int32 {
        let loop = try makeLoop()
        let farEnd: FarEnd
        do {
            farEnd = try FarEnd(on: loop, at: SocketAddress(address))
        } catch {
            throw Failure.listening(error, at: address.description, option: "--listen")
        }
        do throws(UVError) {
            let signals = try Signals(on: loop) { _ in loop.stop() }
            printNow(farEnd.address?.description ?? address.description)
            loop.run()
            signals.close()
        } catch {
            throw Failure(.system, "cannot watch for signals: \(error)")
        }
        farEnd.close()
        loop.close()
        return 0
    }
}

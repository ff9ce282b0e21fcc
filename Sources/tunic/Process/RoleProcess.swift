internal import BuildInfo
internal import Client
internal import Control
internal import Directory
internal import EventLoop
internal import Glibc
internal import Logging
internal import Settings
internal import Wire

/// Runs a client, a relay or both: the loop, signals, control socket, configuration, and the end of the parent.
final class RoleProcess {
    private let loop: Loop
    private let log: Logger
    private let roles: [any Role]
    private let source: SettingsSource
    private var settings: Settings
    private var meters: [TrafficMeter]
    private let startTime: UInt64
    private var server: ControlServer?
    private var signals: Signals?
    private var parentWatch: ParentWatch?
    private var sampling: LoopTimer?
    private var isEnding = false
    private var wasForced = false
    private var face: WebFace?
    /// The wall clock at the start, in seconds since 1970.
    private let startedAt = currentTime().seconds
    /// Processor time at each of the last samples, with their times in nanoseconds.
    private var cpuSamples: [(time: UInt64, seconds: Double)] = []
    private var watchdog: LoopTimer?
    private let heapTrim: HeapTrim
    private var lastState = ""
    private var stepsSaid = 0
    private var wasRelayReady = false
    private var isComplaintDue: UInt64?
    /// How often connections were turned away for want of descriptors, and until when that is said.
    private var shortages: (count: UInt64, until: UInt64) = (0, 0)

    /// Runs the roles of `wanted`, or where that is empty those of the configuration, until a signal; the process' status.
    ///
    /// Where `parent` is given, the end of what holds the other end of that pipe ends the process too.
    static func run(_ source: SettingsSource, _ wanted: [StatusReport.Role], parent: Int32?) throws(Failure) -> Int32 {
        let settings = try source.load()
        let shared = try ProcessSettings(settings, roles: wanted)
        // Looked at before anything is opened or made.
        for role in shared.roles { try check(settings, role) }
        try checkProcess(settings, roles: shared.roles)
        try ProcessLimits.apply()
        LogSink.shared.apply(settings)
        let network = try NetworkFile.read(shared.network)
        let loop = try makeLoop()
        var roles: [any Role] = []
        var own: Set<NodeID> = []
        for kind in shared.roles {
            let folder = try shared.folder(of: kind)
            let log = Logger(label: kind.rawValue) { _ in ConsoleLog() }
            switch kind {
            case .client:
                roles.append(
                    try ClientRole(on: loop, settings, network: network, folder: folder, own: own, log: log))
            case .relay:
                let relay = try RelayRole(on: loop, settings, network: network, folder: folder, log: log)
                own.insert(relay.node)
                roles.append(relay)
            }
        }
        let process = try RoleProcess(
            on: loop, roles: roles, source, settings, controlPath: shared.controlPath, folder: shared.data,
            parent: parent)
        return process.run()
    }

    /// Throws where a role cannot go by `settings`.
    static func check(_ settings: Settings, _ role: StatusReport.Role) throws(Failure) {
        switch role {
        case .client: _ = try ClientRole.configuration(settings)
        case .relay: _ = try RelayRole.configuration(settings)
        }
    }

    /// Throws where the process as a whole cannot go by `settings`.
    static func checkProcess(_ settings: Settings, roles: [StatusReport.Role]) throws(Failure) {
        _ = try ControlGroup(settings)
        // What each TCP address is for.
        var taken: [Endpoint: String] = [:]
        if roles.contains(.client) {
            let client = try ClientRole.configuration(settings)
            for endpoint in client.dns { taken[endpoint] = "client.dns" }
            for endpoint in client.socks.compactMap(\.endpoint) { taken[endpoint] = "client.socks" }
        }
        do throws(SettingProblems) {
            for key in ["web.listen", "metrics.listen"] {
                // Where the default is taken another port is found.
                guard settings.isSet(key), let endpoint = try settings.read(key, localAddress) ?? nil,
                    endpoint.port != 0
                else { continue }
                if let other = taken[endpoint] {
                    throw SettingProblems([
                        settings.problem(key, "\(endpoint) is named by \(other), too; give each an address of its own")
                    ])
                }
                taken[endpoint] = key
            }
        } catch {
            throw Failure.of(error)
        }
    }

    private init(
        on loop: Loop, roles: [any Role], _ source: SettingsSource, _ settings: Settings, controlPath: String,
        folder: String, parent: Int32?
    ) throws(Failure) {
        self.loop = loop
        self.roles = roles
        self.source = source
        self.settings = settings
        log = Logger(label: "process") { _ in ConsoleLog() }
        meters = roles.map { _ in TrafficMeter() }
        startTime = loop.now
        heapTrim = HeapTrim(on: loop)
        let group = try ControlGroup(settings)
        if let group, !group.mayEnterFolder(of: controlPath) {
            log.warning(
                "the group \(group.name) cannot enter the folder of \(controlPath); name a socket elsewhere with 'control'"
            )
        }
        do throws(ControlError) {
            server = try ControlServer(on: loop, path: controlPath, group: group) { [unowned self] in answer($0, $1) }
        } catch {
            throw Failure.of(error, controlPath)
        }
        do throws(UVError) {
            signals = try Signals(on: loop) { [unowned self] in received($0) }
            if let parent {
                parentWatch = try ParentWatch(on: loop, descriptor: parent) { [unowned self] in parentEnded() }
            }
        } catch {
            server?.close()
            throw Failure(.system, "cannot watch for signals and the parent process: \(error)")
        }
        let face = WebFace(
            on: loop, log: log, folder: folder,
            WebFace.Source(
                state: { [unowned self] in webState() }, metrics: { [unowned self] in metrics() },
                newPath: { [unowned self] in answer(.newpath, $0) }))
        self.face = face
        do throws(Failure) {
            try face.prepare(settings).commit()
        } catch {
            server?.close()
            throw error
        }
    }

    private func run() -> Int32 {
        sampling = LoopTimer(on: loop) { [unowned self] in sample() }
        sample()
        // The last steps of the start are said before it is said to be over.
        for case let client as ClientRole in roles {
            client.onReady = { [unowned self] in follow(roles.map { $0.report() }) }
        }
        for role in roles { role.start() }
        log.notice("started", metadata: ["version": "\(versionAndCommit)"])
        if let url = face?.url { say(url) }
        ServiceNotice.send("READY=1")
        startWatchdog()
        loop.run()
        sampling?.close()
        watchdog?.close()
        face?.close()
        server?.close()
        signals?.close()
        parentWatch?.close()
        loop.close()
        return wasForced ? 1 : 0
    }

    /// Tells people where the page is: on the terminal, for a log would keep its secret.
    private func say(_ url: String) {
        guard isatty(STDERR_FILENO) == 1, !LogSink.shared.isJSON else {
            return log.notice("the status page is served; 'tunic web' prints its address")
        }
        writeAll("Status page: \(url)\n", to: STDERR_FILENO)
    }

    private func startWatchdog() {
        guard let interval = ServiceNotice.watchdogInterval else { return }
        let timer = LoopTimer(on: loop) { [unowned self] in
            ServiceNotice.send("WATCHDOG=1")
            watchdog?.schedule(at: loop.now + interval)
        }
        watchdog = timer
        timer.schedule(at: loop.now)
    }

    private func sample() {
        heapTrim.look()
        if loop.descriptorShortages > shortages.count {
            if shortages.until <= loop.now { log.warning("\(Self.shortage)") }
            shortages = (loop.descriptorShortages, loop.now + 60_000_000_000)
        }
        for role in roles { role.everySecond() }
        let reports = roles.map { $0.report() }
        for (place, report) in reports.enumerated() { meters[place].record(report.total, at: loop.now) }
        if cpuSamples.count > 10 { cpuSamples.removeFirst() }
        cpuSamples.append((loop.now, ProcessFigures.cpuSeconds))
        follow(reports)
        sampling?.schedule(at: loop.now + 1_000_000_000)
    }

    /// Says what has come about since the last sample: steps of the start, and what keeps it from being ready.
    private func follow(_ reports: [StatusReport]) {
        let state = reports.map { $0.ready ? "Ready." : $0.problem ?? "Starting." }.joined(separator: " ")
        if state != lastState {
            lastState = state
            ServiceNotice.send("STATUS=\(state)")
        }
        if let relay = reports.first(where: { $0.role == .relay }), !isEnding, relay.ready != wasRelayReady {
            wasRelayReady = relay.ready
            if relay.ready {
                log.notice("the relay is ready", metadata: ["node": "\(relay.node ?? "-")"])
            } else {
                log.warning("the relay is not ready: \(relay.problem ?? "-")")
            }
        }
        guard let client = reports.first(where: { $0.role == .client }), !isEnding else { return }
        let steps = client.progress ?? []
        let done = steps.prefix { $0.done }.count
        if done > stepsSaid {
            for step in steps[stepsSaid..<done] { log.notice("\(step.step)") }
            stepsSaid = done
        }
        if client.ready {
            isComplaintDue = nil
        } else if let due = isComplaintDue {
            guard loop.now >= due, let problem = client.problem else { return }
            log.warning("not ready: \(problem)")
            isComplaintDue = loop.now + Self.complaintInterval.next
        } else {
            isComplaintDue = loop.now + Self.complaintInterval.first
        }
    }

    /// After how long without a path the log says what is missing, in nanoseconds.
    private static let complaintInterval = (first: UInt64(10_000_000_000), next: UInt64(60_000_000_000))

    // MARK: Answers

    private func webState() -> WebFace.State {
        let all = reports()
        var first = all.first ?? StatusReport(role: .client, version: versionAndCommit)
        if all.count > 1 { first.others = Array(all.dropFirst()) }
        func asked<Report>(_ command: ControlCommand, _ argument: String? = nil, as type: Report.Type) -> Report? {
            for role in roles {
                switch role.answer(command, argument) {
                case .report(let report): return report as? Report
                case .paths(let report): return report as? Report
                case .status, .refusal, nil: continue
                }
            }
            return nil
        }
        let node = all.lazy.compactMap(\.node).first
        return WebFace.State(
            time: Double(loop.now) / 1e9, status: first, paths: asked(.paths, as: PathsReport.self)?.paths ?? [],
            streams: asked(.streams, as: StreamsReport.self)?.keys ?? [],
            exits: asked(.exits, as: ExitsReport.self)?.exits ?? [],
            registry: node.flatMap { asked(.nodes, $0, as: NodesReport.self)?.nodes.first }, process: figures,
            log: LogSink.shared.lines)
    }

    /// What is said when descriptors are short.
    private static var shortage: String {
        "Connections are turned away, for no more than \(ProcessLimits.descriptors) files may be open; allow more "
            + "(LimitNOFILE=, ulimit -n)."
    }

    private var figures: ProcessFigures {
        var figures = ProcessFigures()
        if let first = cpuSamples.first, let last = cpuSamples.last, last.time > first.time {
            figures.cpuPercent = 100 * (last.seconds - first.seconds) / (Double(last.time - first.time) / 1e9)
        }
        return figures
    }

    private func metrics() -> String {
        var metrics = OpenMetrics()
        metrics.add(reports())
        metrics.add(figures, startedAt: startedAt)
        return metrics.text
    }

    private func reports() -> [StatusReport] {
        zip(roles, meters).map { role, meter in
            var report = role.report()
            report.uptime = Double((loop.now - startTime) / 1_000_000_000)
            report.rate = meter.rate
            if loop.now < shortages.until {
                report.problem = [report.problem, Self.shortage].compactMap(\.self).joined(separator: " ")
            }
            return report
        }.sorted { $0.role == .client && $1.role != .client }
    }

    private func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply {
        switch command {
        case .status:
            let all = reports()
            guard var first = all.first else { return .refusal("nothing runs") }
            if all.count > 1 { first.others = Array(all.dropFirst()) }
            return .status(first)
        case .metrics: return .report(MetricsReport(metrics: metrics()))
        case .log: return .report(LogReport(lines: LogSink.shared.lines))
        case .web:
            guard let url = face?.url else {
                return .refusal("there is no status page: web.listen is off")
            }
            return .report(WebReport(url: url))
        case .reload:
            do throws(Failure) {
                return .report(Done(try loggedReload()))
            } catch {
                return .refusal(error.message)
            }
        default:
            for role in roles { if let reply = role.answer(command, argument) { return reply } }
            switch command {
            case .nodes, .account, .submit, .dryrun, .operation, .maintenance:
                return .refusal("no ledger is followed here; ask a relay of a network that has one, with --control")
            default: return .refusal("a relay has no \(command.rawValue) of its own; ask a client")
            }
        }
    }

    // MARK: Configuration

    /// Goes by the configuration as it is now, wholly or not at all; what was done, in words.
    private func reload() throws(Failure) -> String {
        let new = try source.load()
        let changes = settings.changes(to: new)
        let fixed = changes.filter { !$0.isReloadable }.map { key in
            (new.isSet(key.path) ? "\(new.origin(key.path)): " : "") + key.path
        }
        guard fixed.isEmpty else {
            throw Failure(
                .configuration,
                "\(fixed.joined(separator: ", ")) cannot change while the process runs, so nothing was changed; restart it, "
                    + "or take \(fixed.count == 1 ? "the change" : "these changes") back")
        }
        try Self.checkProcess(new, roles: roles.map(\.kind))
        for role in roles { try Self.check(new, role.kind) }
        ServiceNotice.send("RELOADING=1", "MONOTONIC_USEC=\(ServiceNotice.monotonicMicroseconds)")
        defer { ServiceNotice.send("READY=1") }
        var prepared: [PreparedChange] = []
        do throws(Failure) {
            if let face { prepared.append(try face.prepare(new)) }
            for role in roles { prepared.append(try role.prepare(new)) }
        } catch {
            for change in prepared { change.abandon() }
            throw error
        }
        for change in prepared { change.commit() }
        settings = new
        LogSink.shared.apply(new)
        guard !changes.isEmpty else { return "The configuration was read again; nothing has changed." }
        return "The configuration was read again; changed: \(changes.map(\.path).joined(separator: ", "))."
    }

    /// Reads the configuration again, and says in the log what came of it.
    private func loggedReload() throws(Failure) -> String {
        do throws(Failure) {
            let done = try reload()
            log.notice("\(done)")
            return done
        } catch {
            log.error("the configuration stays as it was: \(error.message)")
            throw error
        }
    }

    // MARK: Signals and the end

    private func received(_ signal: Signals.Signal) {
        switch signal {
        case .hangUp:
            // The log has said what is wrong.
            _ = try? loggedReload()
        case .interrupt, .terminate:
            if isEnding {
                log.notice("ending at once")
                wasForced = true
                end { $0.close($1) }
            } else {
                let reports = roles.map { $0.report() }
                let open = reports.map(\.streams).reduce(0, +)
                let drain = reports.contains { $0.role == .relay } ? settings.integer("relay.drain") ?? 30 : 0
                log.notice(
                    open > 0 && drain > 0
                        ? "ending; \(open) open streams may go on for \(drain) s, a second signal ends them now"
                        : "ending")
                isEnding = true
                end { $0.finish($1) }
            }
        }
    }

    private func parentEnded() {
        log.notice("the parent process has ended")
        isEnding = true
        end { $0.close($1) }
    }

    private func end(_ how: (any Role, @escaping () -> Void) -> Void) {
        // A drain may take longer than systemd waits by itself.
        let limit = (settings.integer("relay.drain") ?? 30) + 15
        ServiceNotice.send("STOPPING=1", "EXTEND_TIMEOUT_USEC=\(limit * 1_000_000)")
        var left = roles.count
        for role in roles {
            how(role) { [loop] in
                left -= 1
                if left == 0 { loop.stop() }
            }
        }
    }
}

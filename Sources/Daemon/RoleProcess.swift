internal import BuildInfo
package import Control
internal import Directory
internal import EventLoop
internal import Glibc
internal import Logging
package import Process
internal import Settings
internal import Wire

/// Runs a client, a relay or both: the loop, signals, control socket, configuration, and the end of the parent.
package final class RoleProcess {
    /// The phase of the process.
    private enum Phase {
        /// The roles run.
        case running
        /// The roles end gracefully.
        case ending
        /// A second signal has told the roles to end at once.
        case forced
    }

    let loop: Loop
    let log: Logger
    let roles: [any ProcessRole]
    let source: SettingsSource
    /// The settings in force.
    var settings: Settings
    let reports: ProcessReports
    private(set) var face: StatusServer?
    private var news: StateNews
    private var phase = Phase.running
    private var server: ControlServer?
    private var signals: Signals?
    private var parentWatch: ParentWatch?
    private var sampling: LoopTimer?
    private var watchdog: LoopTimer?
    private let heapTrim: HeapTrim

    /// Runs the roles of `wanted`, or if that is empty those of the configuration, until a signal; returns the exit
    /// status.
    ///
    /// If `parent` is given, the process also ends when the other end of that pipe is closed.
    package static func run(
        _ source: SettingsSource, _ wanted: [StatusReport.Role], parent: Int32?
    ) throws(Failure) -> Int32 {
        let settings = try source.load()
        let shared = try ProcessSettings(settings, roles: wanted)
        // Checked before anything is opened or created.
        for role in shared.roles { try ProcessSettings.check(settings, role) }
        try ProcessSettings.checkProcess(settings, roles: shared.roles)
        try ProcessLimits.apply()
        LogSink.shared.apply(settings)
        return try RoleProcess(source, settings, shared, parent: parent).run()
    }

    /// Opens everything by `settings`, which come from `source`; nothing starts before ``run()``.
    convenience init(
        _ source: SettingsSource, _ settings: Settings, _ shared: ProcessSettings, parent: Int32?
    ) throws(Failure) {
        let network = try NetworkFile.read(shared.network)
        let loop = try makeLoop()
        var roles: [any ProcessRole] = []
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
        try self.init(
            on: loop, roles: roles, source, settings, controlPath: shared.controlPath, folder: shared.data,
            parent: parent)
    }

    private init(
        on loop: Loop, roles: [any ProcessRole], _ source: SettingsSource, _ settings: Settings, controlPath: String,
        folder: String, parent: Int32?
    ) throws(Failure) {
        self.loop = loop
        self.roles = roles
        self.source = source
        self.settings = settings
        log = Logger(label: "process") { _ in ConsoleLog() }
        reports = ProcessReports(of: roles, on: loop, log: log)
        news = StateNews(log: log)
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
        let face = StatusServer(
            on: loop, log: log, folder: folder,
            StatusServer.Source(
                state: { [reports] in reports.page }, metrics: { [reports] in reports.metrics },
                newPath: { [unowned self] in answer(.newpath, $0) }))
        self.face = face
        do throws(Failure) {
            try face.prepare(settings).commit()
        } catch {
            server?.close()
            throw error
        }
    }

    /// Runs until a signal or the parent's end; returns the exit status.
    func run() -> Int32 {
        sampling = LoopTimer(on: loop) { [unowned self] in sample() }
        sample()
        for role in roles {
            // The last steps of the start are logged before its end is.
            role.start { [unowned self] in follow(roles.map { $0.report() }) }
        }
        log.notice("started", metadata: ["version": "\(versionAndCommit)"])
        if let url = face?.url { say(url) }
        ServiceNotice.send("READY=1")
        startWatchdog()
        loop.run()
        close()
        return phase == .forced ? 1 : 0
    }

    /// Closes everything that the process itself has open; its roles have ended.
    func close() {
        sampling?.close()
        watchdog?.close()
        face?.close()
        server?.close()
        signals?.close()
        parentWatch?.close()
        loop.close()
    }

    /// Prints the page's address on the terminal; a log would keep its secret.
    private func say(_ url: String) {
        guard isatty(STDERR_FILENO) == 1, !LogSink.shared.isJSON else {
            return log.notice("the status page is served; 'tunic web' prints its address")
        }
        writeAll("Status page: \(url)\n", to: STDERR_FILENO)
    }

    private func startWatchdog() {
        guard let interval = ServiceNotice.watchdogInterval else { return }
        let timer = LoopTimer(on: loop) { [unowned self] in
            let runs = roles.allSatisfy { $0.runs }
            if runs { ServiceNotice.send("WATCHDOG=1") }
            // A thread that has been late once must not cost the whole interval.
            watchdog?.schedule(at: loop.now + (runs ? interval : min(interval, 1_000_000_000)))
        }
        watchdog = timer
        timer.schedule(at: loop.now)
    }

    private func sample() {
        heapTrim.look()
        reports.lookForShortage()
        for role in roles { role.everySecond() }
        follow(reports.sample())
        sampling?.schedule(at: loop.now + 1_000_000_000)
    }

    /// Logs the changes since the last sample.
    private func follow(_ reports: [StatusReport]) {
        news.follow(reports, at: loop.now, isEnding: phase != .running)
    }

    // MARK: Signals and the end

    /// Handles a signal: the first that ends the process lets its roles end gracefully, the second ends them at once.
    func received(_ signal: Signals.Signal) {
        switch (signal, phase) {
        case (.hangUp, _):
            // The log has the error already.
            _ = try? loggedReload()
        case (.interrupt, .running), (.terminate, .running):
            let reports = roles.map { $0.report() }
            let open = reports.compactMap(\.streams).reduce(0, +)
            let drain = reports.contains { $0.role == .relay } ? settings.number("relay.drain") : 0
            log.notice(
                open > 0 && drain > 0
                    ? "ending; \(open) open streams may continue for \(drain) s; a second signal ends them now"
                    : "ending")
            phase = .ending
            end { $0.finish($1) }
        case (.interrupt, .ending), (.interrupt, .forced), (.terminate, .ending), (.terminate, .forced):
            log.notice("ending at once")
            phase = .forced
            end { $0.close($1) }
        }
    }

    private func parentEnded() {
        log.notice("the parent process has ended")
        if phase == .running { phase = .ending }
        end { $0.close($1) }
    }

    private func end(_ how: (any ProcessRole, @escaping () -> Void) -> Void) {
        // A drain may take longer than systemd's default limit.
        let limit = settings.number("relay.drain") + 15
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

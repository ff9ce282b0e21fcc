internal import Control
internal import Directory
internal import EventLoop
internal import Logging
internal import Settings

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
    private var running = 0

    /// Runs the roles of `wanted`, or where that is empty those of the configuration, until a signal; the process' status.
    ///
    /// Where `parent` is given, the end of what holds the other end of that pipe ends the process too.
    static func run(_ source: SettingsSource, _ wanted: [StatusReport.Role], parent: Int32?) throws(Failure) -> Int32 {
        let settings = try source.load()
        let shared = try ProcessSettings(settings, roles: wanted)
        // Looked at before anything is opened or made.
        for role in shared.roles { try check(settings, role) }
        try checkProcess(settings)
        try ProcessLimits.apply()
        LogSink.shared.apply(settings)
        let network = try NetworkFile.read(shared.network)
        let loop = try makeLoop()
        var roles: [any Role] = []
        for kind in shared.roles {
            let folder = try shared.folder(of: kind)
            let log = Logger(label: kind.rawValue) { _ in ConsoleLog() }
            switch kind {
            case .client: roles.append(try ClientRole(on: loop, settings, network: network, folder: folder, log: log))
            case .relay: roles.append(try RelayRole(on: loop, settings, network: network, folder: folder, log: log))
            }
        }
        let process = try RoleProcess(
            on: loop, roles: roles, source, settings, controlPath: shared.controlPath, parent: parent)
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
    static func checkProcess(_ settings: Settings) throws(Failure) {
        do throws(SettingProblems) {
            for key in ["web.listen", "metrics.listen"] { _ = try settings.read(key, localAddress) }
        } catch {
            throw Failure.of(error)
        }
    }

    private init(
        on loop: Loop, roles: [any Role], _ source: SettingsSource, _ settings: Settings, controlPath: String,
        parent: Int32?
    ) throws(Failure) {
        self.loop = loop
        self.roles = roles
        self.source = source
        self.settings = settings
        log = Logger(label: "process") { _ in ConsoleLog() }
        meters = roles.map { _ in TrafficMeter() }
        startTime = loop.now
        do throws(ControlError) {
            server = try ControlServer(on: loop, path: controlPath) { [unowned self] in answer($0, $1) }
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
    }

    private func run() -> Int32 {
        sampling = LoopTimer(on: loop) { [unowned self] in sample() }
        sample()
        for role in roles { role.start() }
        log.notice("started", metadata: ["version": "\(version)"])
        loop.run()
        sampling?.close()
        server?.close()
        signals?.close()
        parentWatch?.close()
        loop.close()
        return wasForced ? 1 : 0
    }

    private func sample() {
        for (place, role) in roles.enumerated() { meters[place].record(role.report().total, at: loop.now) }
        sampling?.schedule(at: loop.now + 1_000_000_000)
    }

    // MARK: Answers

    private func reports() -> [StatusReport] {
        zip(roles, meters).map { role, meter in
            var report = role.report()
            report.uptime = Double((loop.now - startTime) / 1_000_000_000)
            report.rate = meter.rate
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
        case .reload:
            do throws(Failure) {
                return .report(Done(try reload()))
            } catch {
                return .refusal(error.message)
            }
        default:
            for role in roles { if let reply = role.answer(command, argument) { return reply } }
            switch command {
            case .nodes, .account, .submit, .operation:
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
        if let fixed = changes.first(where: { !$0.isReloadable }) {
            let place = new.isSet(fixed.path) ? "\(new.origin(fixed.path)): " : ""
            throw Failure(
                .configuration,
                "\(place)\(fixed.path) cannot change while the process runs; restart it, or take the change back")
        }
        try Self.checkProcess(new)
        for role in roles { try Self.check(new, role.kind) }
        var prepared: [PreparedChange] = []
        do throws(Failure) {
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

    // MARK: Signals and the end

    private func received(_ signal: Signals.Signal) {
        switch signal {
        case .hangUp:
            do throws(Failure) {
                let done = try reload()
                log.notice("\(done)")
            } catch {
                log.error("the configuration stays as it was: \(error.message)")
            }
        case .interrupt, .terminate:
            if isEnding {
                log.notice("ending at once")
                wasForced = true
                end { $0.close($1) }
            } else {
                log.notice("ending")
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
        var left = roles.count
        for role in roles {
            how(role) { [loop] in
                left -= 1
                if left == 0 { loop.stop() }
            }
        }
    }
}

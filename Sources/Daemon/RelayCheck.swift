package import Control
internal import Directory
internal import EventLoop
internal import Logging
package import Process
internal import Settings
internal import Wire

/// Checks whether a relay can serve, by asking the running process, or one that is started for the check.
package enum RelayCheck {
    /// The longest time for the whole check, in seconds.
    private static let limit: UInt64 = 25

    /// The report of a running process, or of a relay that runs only for the check.
    ///
    /// These processes are asked in turn until one answers: the one at `control`, the one with the settings of
    /// `source`, and the one that other commands ask. A running relay has its own settings, so only its socket must be
    /// known. If the command line names a data folder, another relay is asked only if that folder is in use, for
    /// example by a service with a socket elsewhere.
    package static func run(_ source: SettingsSource, control: String? = nil) throws(Failure) -> CheckReport {
        func askOthers() throws(Failure) -> CheckReport? {
            guard control == nil, let target = try? ControlTarget(nil) else { return nil }
            return try askRunning(target.path, mayRefuse: true)
        }
        if let control, let report = try askRunning(control) { return report }
        let namesFolder = source.names("data")
        let settings: Settings
        let shared: ProcessSettings
        do throws(Failure) {
            settings = try source.load()
            shared = try ProcessSettings(settings, roles: [.relay])
        } catch {
            if !namesFolder, let report = try askOthers() { return report }
            throw error
        }
        if control == nil, let report = try askRunning(shared.controlPath) { return report }
        // A service that refuses this user must not prevent a check of the user's own relay.
        if !namesFolder, let report = try? askOthers() { return report }
        do throws(Failure) {
            try ProcessSettings.check(settings, .relay)
            try ProcessLimits.apply()
            let loop = try makeLoop()
            defer { loop.close() }
            return try start(settings, shared, on: loop)
        } catch {
            if error.code == .inUse, let report = try askOthers() { return report }
            throw error
        }
    }

    /// The report of the process whose control socket is at `path`; nil if none runs there, or if it refuses and
    /// `mayRefuse`.
    private static func askRunning(_ path: String, mayRefuse: Bool = false) throws(Failure) -> CheckReport? {
        let loop = try makeLoop()
        defer { loop.close() }
        let end = loop.now + limit * 1_000_000_000
        var failure: ControlError?
        var report: CheckReport?
        let timer = LoopTimer(on: loop) {}
        func ask() {
            ControlClient.ask(.check, at: path, on: loop, as: CheckReport.self) { result in
                switch result {
                case .failure(let error): failure = error
                case .success(let found):
                    report = found
                    if !found.done, loop.now < end { return again() }
                }
                loop.stop()
            }
        }
        func again() {
            waiting = LoopTimer(on: loop) { ask() }
            waiting?.schedule(at: loop.now + 500_000_000)
        }
        var waiting: LoopTimer?
        ask()
        if failure == nil { loop.run() }
        timer.close()
        waiting?.close()
        switch failure {
        case nil: return report
        case .refused where mayRefuse: return nil
        case .unreachable(let error) where error.kind != .notPermitted: return nil
        case .some(let error): throw Failure.of(error, path, asked: .relay)
        }
    }

    /// The report of a relay that runs only for the check.
    private static func start(
        _ settings: Settings, _ shared: ProcessSettings, on loop: Loop
    ) throws(Failure) -> CheckReport {
        let log = Logger(label: "relay") { _ in SwiftLogNoOpLogHandler() }
        let role = try RelayRole(
            on: loop, settings, network: try NetworkFile.read(shared.network), folder: try shared.folder(of: .relay),
            log: log)
        let end = loop.now + limit * 1_000_000_000
        var report = role.checkReport()
        role.start {}
        var timer: LoopTimer?
        timer = LoopTimer(on: loop) {
            report = role.checkReport()
            if report.done || loop.now >= end {
                role.close { loop.stop() }
            } else {
                timer?.schedule(at: loop.now + 200_000_000)
            }
        }
        timer?.schedule(at: loop.now + 200_000_000)
        loop.run()
        timer?.close()
        return report
    }
}

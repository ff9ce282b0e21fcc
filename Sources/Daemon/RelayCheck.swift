package import Control
internal import Directory
internal import EventLoop
internal import Logging
package import Process
internal import Wire

/// Checks whether a relay can serve, by asking the running process, or one that is started for the check.
package enum RelayCheck {
    /// The longest time for the whole check, in seconds.
    private static let limit: UInt64 = 25

    /// The report of the process that runs with the settings of `source`, or of a relay that runs only for the check.
    package static func run(_ source: SettingsSource) throws(Failure) -> CheckReport {
        let settings = try source.load()
        let shared = try ProcessSettings(settings, roles: [.relay])
        let loop = try makeLoop()
        let report: CheckReport
        if let running = try askRunning(shared.controlPath, on: loop) {
            report = running
        } else {
            try ProcessSettings.check(settings, .relay)
            try ProcessLimits.apply()
            let network = try NetworkFile.read(shared.network)
            let log = Logger(label: "relay") { _ in SwiftLogNoOpLogHandler() }
            let role = try RelayRole(
                on: loop, settings, network: network, folder: try shared.folder(of: .relay), log: log)
            report = start(role, on: loop)
        }
        loop.close()
        return report
    }

    /// The report of the process whose control socket is at `path`; nil if none runs there.
    private static func askRunning(_ path: String, on loop: Loop) throws(Failure) -> CheckReport? {
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
        if case .unreachable = failure { return nil }
        if let failure { throw Failure.of(failure, path) }
        return report
    }

    /// The report of a relay that runs only for the check.
    private static func start(_ role: RelayRole, on loop: Loop) -> CheckReport {
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

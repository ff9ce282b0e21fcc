internal import Control
internal import EventLoop
internal import Logging

/// A client or a relay, as the process around it sees it.
struct Role {
    /// Begins to work.
    var start: () -> Void
    /// Ends gracefully, then calls back.
    var finish: (@escaping () -> Void) -> Void
    /// Ends as fast as possible, then calls back.
    var close: (@escaping () -> Void) -> Void
    /// What it is doing, without the rates and the uptime.
    var report: () -> StatusReport
    /// Its paths, or nil for a relay.
    var paths: () -> PathsReport?
}

/// Runs one role: its loop, signals, control socket, and the end of the parent.
final class RoleProcess {
    private let loop: Loop
    private let log: Logger
    private let role: Role
    private var meter = TrafficMeter()
    private let startTime: UInt64
    private var server: ControlServer?
    private var signals: Signals?
    private var parentWatch: ParentWatch?
    private var sampling: LoopTimer?
    private var isEnding = false
    private var wasForced = false

    /// Opens the control socket at `controlPath`, and watches the descriptor `parent` where one is given.
    init(on loop: Loop, role: Role, controlPath: String, parent: Int32?, log: Logger) throws(Failure) {
        self.loop = loop
        self.log = log
        self.role = role
        startTime = loop.now
        do throws(ControlError) {
            server = try ControlServer(on: loop, path: controlPath) { [unowned self] in answer($0) }
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

    /// Runs until a signal or the parent's end; the status for the process.
    func run() -> Int32 {
        sampling = LoopTimer(on: loop) { [unowned self] in sample() }
        sample()
        role.start()
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
        meter.record(role.report().total, at: loop.now)
        sampling?.schedule(at: loop.now + 1_000_000_000)
    }

    private func answer(_ command: ControlCommand) -> ControlReply {
        switch command {
        case .status:
            var report = role.report()
            report.uptime = Double((loop.now - startTime) / 1_000_000_000)
            report.rate = meter.rate
            return .status(report)
        case .paths:
            return role.paths().map { .paths($0) } ?? .refusal("a relay has no paths of its own; ask a client")
        }
    }

    private func received(_ signal: Signals.Signal) {
        switch signal {
        case .hangUp: log.notice("SIGHUP is ignored: a changed configuration takes a restart")
        case .interrupt, .terminate:
            if isEnding {
                log.notice("ending at once")
                wasForced = true
                end(role.close)
            } else {
                log.notice("ending")
                isEnding = true
                end(role.finish)
            }
        }
    }

    private func parentEnded() {
        log.notice("the parent process has ended")
        isEnding = true
        end(role.close)
    }

    private func end(_ how: (@escaping () -> Void) -> Void) {
        how { [loop] in loop.stop() }
    }
}

internal import Control
internal import EventLoop
internal import Logging

/// Reports changes of a running process in the log and to systemd, once each.
///
/// They are the steps of a client's start, the reason why it is not ready, and whether a relay is ready.
struct StateNews {
    /// How long without a path before the log reports the problem, and how often it repeats that, in nanoseconds.
    private static let complaintInterval = (first: UInt64(10_000_000_000), next: UInt64(60_000_000_000))

    private let log: Logger
    private var lastState = ""
    private var stepsSaid = 0
    private var wasRelayReady = false
    private var complaintTime: UInt64?

    init(log: Logger) { self.log = log }

    /// Reports the changes in `reports` at `now`, in nanoseconds; while the process ends, only to systemd.
    mutating func follow(_ reports: [StatusReport], at now: UInt64, isEnding: Bool) {
        let state = reports.map { $0.ready ? "Ready." : $0.problem ?? "Starting." }.joined(separator: " ")
        if state != lastState {
            lastState = state
            ServiceNotice.send("STATUS=\(state)")
        }
        guard !isEnding else { return }
        if let relay = reports.first(where: { $0.role == .relay }) { follow(relay: relay) }
        if let client = reports.first(where: { $0.role == .client }) { follow(client: client, at: now) }
    }

    private mutating func follow(relay: StatusReport) {
        guard relay.ready != wasRelayReady else { return }
        wasRelayReady = relay.ready
        if relay.ready {
            log.notice("the relay is ready", metadata: ["node": "\(relay.node ?? "-")"])
        } else {
            log.warning("the relay is not ready: \(relay.problem ?? "-")")
        }
    }

    private mutating func follow(client: StatusReport, at now: UInt64) {
        let steps = client.progress ?? []
        let done = steps.prefix { $0.done }.count
        if done > stepsSaid {
            for step in steps[stepsSaid..<done] { log.notice("\(step.step)") }
            stepsSaid = done
        }
        if client.ready {
            complaintTime = nil
        } else if let due = complaintTime {
            guard now >= due, let problem = client.problem else { return }
            log.warning("not ready: \(problem)")
            complaintTime = now + Self.complaintInterval.next
        } else {
            complaintTime = now + Self.complaintInterval.first
        }
    }
}

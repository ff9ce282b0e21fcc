internal import Control
internal import Relay
internal import Wire

extension WatchingReport {
    /// The report of `status` for the control socket.
    init(_ status: WatchingStatus) {
        let times = status.durations
        self.init(
            watched: status.watched, dead: status.dead, tests: status.tests, passed: status.passed,
            failed: status.failed, median: times.isEmpty ? nil : times[times.count / 2].inMilliseconds,
            longest: times.last?.inMilliseconds, votes: status.votes, verdicts: status.verdicts,
            sinceClient: status.sinceClient.inSeconds)
    }
}

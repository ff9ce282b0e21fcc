import Control
import Logging
import Synchronization
import Testing

@testable import Daemon

/// Keeps log lines.
private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }

    var log: Logger { Logger(label: "test") { _ in Handler(lines: self) } }

    private struct Handler: LogHandler {
        let lines: Lines
        var logLevel = Logger.Level.trace
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { lines.add("\(event.level) \(event.message)") }
    }
}

private func client(ready: Bool, problem: String? = nil, steps: [(String, Bool)] = []) -> StatusReport {
    var report = StatusReport(role: .client, version: "test")
    (report.ready, report.problem) = (ready, problem)
    report.progress = steps.map { ProgressStep($0.0, done: $0.1) }
    return report
}

private func relay(ready: Bool, problem: String? = nil) -> StatusReport {
    var report = StatusReport(role: .relay, version: "test")
    (report.ready, report.problem) = (ready, problem)
    return report
}

private let second: UInt64 = 1_000_000_000

@Suite struct StateNewsTests {
    @Test func eachStepOfAStartIsSaidOnce() {
        let lines = Lines()
        var news = StateNews(log: lines.log)
        news.follow([client(ready: false, steps: [("a", true), ("b", false), ("c", true)])], at: 0, isEnding: false)
        news.follow([client(ready: false, steps: [("a", true), ("b", false), ("c", true)])], at: 1, isEnding: false)
        #expect(lines.all == ["notice a"])
        news.follow([client(ready: true, steps: [("a", true), ("b", true), ("c", true)])], at: 2, isEnding: false)
        #expect(lines.all == ["notice a", "notice b", "notice c"])
    }

    @Test func whatIsMissingIsSaidAfterTenSecondsAndThenEachMinute() {
        let lines = Lines()
        var news = StateNews(log: lines.log)
        for time in 0...80 {
            news.follow([client(ready: false, problem: "No path.")], at: UInt64(time) * second, isEnding: false)
        }
        #expect(lines.all == ["warning not ready: No path.", "warning not ready: No path."])
        // After it was ready, the ten seconds start again.
        news.follow([client(ready: true)], at: 81 * second, isEnding: false)
        for time in 82...91 {
            news.follow([client(ready: false, problem: "No path.")], at: UInt64(time) * second, isEnding: false)
        }
        #expect(lines.all.count == 2)
        news.follow([client(ready: false, problem: "No path.")], at: 92 * second, isEnding: false)
        #expect(lines.all.count == 3)
    }

    @Test func aRelayIsReadyAndUnreadyByTurns() {
        let lines = Lines()
        var news = StateNews(log: lines.log)
        for (ready, problem) in [(false, "Starting."), (true, nil), (true, nil), (false, "No link."), (true, nil)] {
            news.follow([relay(ready: ready, problem: problem)], at: 0, isEnding: false)
        }
        #expect(
            lines.all == [
                "notice the relay is ready", "warning the relay is not ready: No link.", "notice the relay is ready",
            ])
    }

    @Test func nothingIsSaidAtTheEnd() {
        let lines = Lines()
        var news = StateNews(log: lines.log)
        news.follow([relay(ready: true), client(ready: false, steps: [("a", true)])], at: 0, isEnding: true)
        #expect(lines.all.isEmpty)
    }
}

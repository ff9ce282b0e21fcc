internal import Glibc
internal import Logging
internal import Process
internal import Settings
internal import Synchronization

/// The state shared by all loggers of the process: level, format and the last lines.
final class LogSink: Sendable {
    static let shared = LogSink()
    /// How many lines are kept.
    private static let limit = 200

    private struct State {
        var level = Logger.Level.notice
        var isJSON = false
        var lines: [String] = []
        /// The number of lines that standard error has not accepted since the last accepted one.
        var left = 0
    }

    private let state = Mutex(State())

    /// The lowest logged level.
    var level: Logger.Level {
        get { state.withLock { $0.level } }
        set { state.withLock { $0.level = newValue } }
    }

    /// Whether lines are JSON.
    var isJSON: Bool { state.withLock { $0.isJSON } }

    /// The last lines, oldest first, as text.
    var lines: [String] { state.withLock { $0.lines } }

    /// Keeps a line for requests of the last lines.
    func keep(_ line: String) {
        state.withLock {
            if $0.lines.count >= Self.limit { $0.lines.removeFirst(Self.limit / 4) }
            $0.lines.append(line)
        }
    }

    /// Writes a line to standard error, or drops it if that would wait for a reader: the log must not stop traffic.
    ///
    /// `note` makes a line about the number of dropped lines, which precedes the next line; it must not use the sink.
    func write(_ line: String, note: (Int) -> String) {
        state.withLock {
            var descriptor = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
            guard unsafe poll(&descriptor, 1, 0) != 0 else {
                $0.left += 1
                return
            }
            // In one write: a pipe that is writable accepts 4 KiB.
            writeAll($0.left > 0 ? "\(note($0.left))\n\(line)\n" : "\(line)\n", to: STDERR_FILENO)
            $0.left = 0
        }
    }

    /// Sets level and format from the settings.
    func apply(_ settings: Settings) {
        state.withLock {
            $0.level = settings.text("log.level").flatMap(Logger.Level.init(rawValue:)) ?? .notice
            $0.isJSON = settings.text("log.format") == "json"
        }
    }
}

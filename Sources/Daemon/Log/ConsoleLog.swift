internal import Control
internal import Glibc
internal import Logging
internal import Process

/// Log lines on standard error: the time to one second in UTC, the level, the message and its values, as text or JSON.
///
/// Level and format are set in ``LogSink``, for all loggers of the process.
struct ConsoleLog: LogHandler {
    var logLevel: Logger.Level {
        get { LogSink.shared.level }
        set { LogSink.shared.level = newValue }
    }
    var metadata: Logger.Metadata = [:]
    /// Whether levels are coloured: on a terminal with colours, unless NO_COLOR is set (no-color.org).
    private let isColoured =
        isatty(STDERR_FILENO) == 1 && Files.environment("TERM") != "dumb" && Files.environment("NO_COLOR") == nil

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let values = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let (time, message) = (timestampText(), Self.shown(event.message.description))
        let fields = values.map { ($0.key, Self.shown($0.value.description)) }
        LogSink.shared.keep("\(time) \(event.level.rawValue) \(message)\(Self.text(fields))")
        let isJSON = LogSink.shared.isJSON
        LogSink.shared.write(line(time, event.level, message, fields, isJSON)) { count in
            line(time, .warning, "the log had no reader; lines were dropped", [("count", "\(count)")], isJSON)
        }
    }

    private func line(
        _ time: String, _ level: Logger.Level, _ message: String, _ fields: [(key: String, value: String)],
        _ isJSON: Bool
    ) -> String {
        guard isJSON else { return "\(time) \(coloured(level)) \(message)\(Self.text(fields))" }
        var object = ["time": time, "level": level.rawValue, "message": message]
        for (key, value) in fields where object[key] == nil { object[key] = value }
        return json(object)
    }

    private static func text(_ fields: [(key: String, value: String)]) -> String {
        fields.map { " \($0.key)=\($0.value)" }.joined()
    }

    private func coloured(_ level: Logger.Level) -> String {
        guard isColoured else { return level.rawValue }
        let colour =
            switch level {
            case .trace, .debug: 90
            case .info, .notice: 36
            case .warning: 33
            case .error, .critical: 31
            }
        return "\u{1b}[\(colour)m\(level.rawValue)\u{1b}[0m"
    }

    /// A text that may be from others, in at most 1,000 characters before any are escaped.
    static func shown(_ text: String) -> String { oneLine(text, limit: 1_000) }
}

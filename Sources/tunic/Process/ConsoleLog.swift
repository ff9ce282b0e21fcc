internal import ArgumentParser
internal import Glibc
internal import Logging

/// The options of all commands that log.
struct LogOptions: ParsableArguments {
    @Option(
        name: .customLong("log-level"),
        help: ArgumentHelp(
            "What to log to standard error: trace, debug, info, notice, warning, error or critical (default: notice).",
            valueName: "level"),
        transform: { text in
            guard let level = Logger.Level(rawValue: text) else { throw ValidationError("'\(text)' is no log level") }
            return level
        })
    var level = Logger.Level.notice

    /// A logger named `label`.
    func logger(_ label: String) -> Logger {
        let level = level
        return Logger(label: label) { _ in ConsoleLog(level: level) }
    }
}

/// Log lines on standard error: the time to one second in UTC, the level, the message and its values.
struct ConsoleLog: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    /// Whether levels are coloured.
    private let isColoured = isatty(STDERR_FILENO) == 1

    init(level: Logger.Level) { logLevel = level }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var line = "\(Self.timestamp()) \(coloured(event.level)) \(oneLine(event.message.description))"
        let values = metadata.merging(event.metadata ?? [:]) { $1 }
        for (key, value) in values.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(oneLine(value.description))" }
        writeAll(line + "\n", to: STDERR_FILENO)
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

    /// `text` without control characters, so that nothing can forge a line or reach the terminal.
    private func oneLine(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
    }

    /// The time to one second in UTC.
    static func timestamp() -> String {
        var now = time(nil)
        var parts = unsafe tm()
        unsafe gmtime_r(&now, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let date = unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        return unsafe "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}

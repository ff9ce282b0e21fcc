internal import ArgumentParser
internal import Logging

/// The options of all commands that log.
struct LogOptions: ParsableArguments {
    @Option(
        name: .customLong("log-level"),
        help: ArgumentHelp(
            "What to log to standard error: trace, debug, info, notice, warning, error or critical (default: notice).",
            valueName: "level"),
        transform: { text in
            guard let level = Logger.Level(rawValue: text) else {
                throw ValidationError("'\(text)' is not a log level")
            }
            return level
        })
    var level: Logger.Level?
}

internal import ArgumentParser
internal import Daemon
internal import Logging
internal import Process

/// Runs the roles in the configuration file.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a client, a relay, or both in one process, as a configuration file says.",
        discussion: """
            Examples:
              tunic config default > tunic.toml
              tunic config check --config tunic.toml
              tunic run --config tunic.toml

            The table [client] makes it a client, [relay] a relay. At SIGHUP it reads the file again.
            """)

    @OptionGroup var settings: SettingsOptions
    @OptionGroup var process: ProcessOptions
    @OptionGroup var logging: LogOptions

    func run() throws {
        var source = settings.source
        source.add("--log-level", "log.level", logging.level?.rawValue)
        throw ExitCode(try RoleProcess.run(source, [], parent: process.parent))
    }
}

internal import ArgumentParser
internal import Control
internal import Daemon
internal import Process
internal import Settings

/// The commands for the configuration file.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Print the default configuration, or check one.",
        subcommands: [Default.self, Check.self])

    /// Prints the default file.
    struct Default: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a configuration file with every setting, explained, at its default.",
            discussion: "Example:\n  tunic config default > ~/.config/tunic/tunic.toml")

        func run() { print(SettingsCatalog.defaultFile, terminator: "") }
    }

    /// Checks the configuration for mistakes.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Report the mistakes in a configuration file: file, line, key and remedy.",
            discussion: """
                Example:
                  tunic config check /etc/tunic/tunic.toml

                The environment (TUNIC_...) is checked too. Nothing is opened or started.
                """)

        @Argument(help: ArgumentHelp("The file, as with --config.", valueName: "file"))
        var file: String?

        @OptionGroup var settings: SettingsOptions

        @Flag(help: "Print the result as one line of JSON.")
        var json = false

        func validate() throws {
            guard file == nil || settings.config == nil else {
                throw ValidationError("name the file once: '\(file ?? "")' or --config")
            }
        }

        func run() throws {
            let source = settings.source(file: file)
            let check = ConfigurationCheck(source)
            let problems = check.problems
            if !json, let folder = check.serviceFolder {
                complain("no 'data' is named: the service gets \(folder) from systemd, other starts need --data")
            }
            if json {
                print(Control.json(ConfigurationReport(file: source.file, problems)))
            } else {
                for problem in problems { complain(ConfigurationReport.text(of: problem)) }
                if problems.isEmpty { print("\(source.file ?? "no file, only the environment"): no mistakes") }
            }
            guard problems.isEmpty else { throw ExitCode(Failure.Code.configuration.rawValue) }
        }
    }
}

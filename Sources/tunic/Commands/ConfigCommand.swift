internal import ArgumentParser
internal import Control
internal import Directory
internal import Glibc
internal import Settings

/// The commands about the configuration file.
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

    /// Looks for mistakes.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what is wrong with a configuration file: file, line, key and remedy.",
            discussion: """
                Example:
                  tunic config check /etc/tunic/tunic.toml

                The environment (TUNIC_...) is looked at too. Nothing is opened or started.
                """)

        @Argument(help: ArgumentHelp("The file, as with --config.", valueName: "file"))
        var file: String?

        @OptionGroup var settings: SettingsOptions

        @Flag(help: "Print the result as one line of JSON.")
        var json = false

        /// What is found.
        private struct Report: Encodable {
            struct Problem: Encodable {
                var place: String
                var key: String
                var message: String
            }
            var file: String?
            var problems: [Problem]
        }

        func validate() throws {
            guard file == nil || settings.config == nil else {
                throw ValidationError("name the file once: '\(file ?? "")' or --config")
            }
        }

        func run() throws {
            let source = settings.source(file: file)
            var problems: [SettingProblem] = []
            do throws(SettingProblems) {
                let found = try source.loadAll()
                problems = Self.faults(in: found)
                if !json, found.text("data") == nil, ProcessSettings.roles(found).contains(.relay),
                    Files.firstFolder("STATE_DIRECTORY") == nil
                {
                    complain(
                        "no 'data' is named: the service gets \(Self.serviceFolder) from systemd, other starts need --data"
                    )
                }
            } catch {
                problems = error.all
            }
            if json {
                let report = Report(
                    file: source.file,
                    problems: problems.map { .init(place: "\($0.origin)", key: $0.key, message: $0.message) })
                print(Control.json(report))
            } else {
                for problem in problems {
                    // A file that cannot be read is named by what is said of it.
                    let isFile = problem.key.isEmpty && problem.origin == .option("--config")
                    complain(isFile ? problem.message : problem.description)
                }
                if problems.isEmpty { print("\(source.file ?? "no file, only the environment"): no mistakes") }
            }
            guard problems.isEmpty else { throw ExitCode(Failure.Code.configuration.rawValue) }
        }

        /// The data folder that systemd names to the service, where the file names none.
        private static let serviceFolder = "/var/lib/tunic"

        /// What the roles do not take, and what is wrong with the network file: the first of each.
        private static func faults(in settings: Settings) -> [SettingProblem] {
            var problems: [SettingProblem] = []
            func look(_ key: String = "", _ attempt: () throws(Failure) -> Void) {
                do throws(Failure) {
                    try attempt()
                } catch {
                    let origin = key.isEmpty ? .byDefault : settings.origin(key)
                    let problem = error.problem ?? SettingProblem(origin, key, error.message)
                    if !problems.contains(problem) { problems.append(problem) }
                }
            }
            let roles = ProcessSettings.roles(settings)
            for role in roles {
                look { () throws(Failure) in try RoleProcess.check(settings, role) }
            }
            look { () throws(Failure) in try RoleProcess.checkProcess(settings, roles: roles) }
            look { () throws(Failure) in _ = try ProcessSettings(settings, roles: [], folder: serviceFolder) }
            if let network = settings.text("network") {
                look("network") { () throws(Failure) in _ = try NetworkFile.read(network) }
            }
            return problems
        }
    }
}

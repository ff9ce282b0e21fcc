internal import ArgumentParser
internal import BuildInfo
internal import CShims
internal import Glibc
internal import Process
internal import Settings

/// The command `tunic`.
struct Tunic: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tunic",
        abstract: "An onion-routing proxy for apps that speak SOCKS or HTTP, over several nodes.",
        discussion: """
            A whole network on this machine, and a request through it:

              tunic devnet --socks 127.0.0.1:1080
              curl --proxy socks5h://127.0.0.1:1080 http://127.0.0.1:8000/

            Exit codes:
               1  not ready ('status'), or ended at once by a second signal
              64  the command line is wrong
              65  a file's contents are wrong
              66  a file is missing
              69  an address, a socket or the network cannot be used
              70  an error in this program
              71  the system refused something
              73  a file or folder cannot be made
              74  a read or write failed
              75  in use by another process
              77  permissions are wrong
              78  the configuration or the clock is wrong
             126  the program cannot be run ('exec', 'devnet')
             127  there is no such program ('exec', 'devnet')
             128+n  ended by signal n ('devnet', 'bench')

            'exec', and 'devnet' with a command, end with the program's status.
            """,
        version: VersionCommand.text,
        subcommands: [
            RunCommand.self, ClientCommand.self, RelayCommand.self, ConfigCommand.self, NetworkCommand.self,
            DevnetCommand.self, StatusCommand.self, PathsCommand.self, WalletCommand.self, StakeCommand.self,
            NodesCommand.self, OxendCommand.self, BenchCommand.self, NewPathCommand.self, ExitsCommand.self,
            StreamsCommand.self, RequestCommand.self, BoxCommand.self, SwarmCommand.self, TopCommand.self,
            CheckCommand.self, WebCommand.self,
            MetricsCommand.self,
            ReloadCommand.self, ExecCommand.self, JoinCommand.self, MaintenanceCommand.self, VersionCommand.self,
            RunWithParentCommand.self,
        ])

    /// Runs the command line of this process; an error is one line on standard error.
    ///
    /// A command fails if the kernel does not accept all of its output, whatever it did.
    static func start() -> Never {
        shim_share_heap()
        let status = runCommandLine()
        let output = shim_flush_output()
        guard output < 0, status == 0 else { Glibc.exit(status) }
        let failure = Failure.of(-output, "cannot write to", "standard output")
        complain(failure.message)
        Glibc.exit(Failure.Code.io.rawValue)
    }

    /// The exit status.
    private static func runCommandLine() -> Int32 {
        do {
            var command = try parseAsRoot(Array(ProcessArguments.all.dropFirst()))
            try command.run()
            return 0
        } catch let failure as Failure {
            complain(failure.message)
            return failure.code.rawValue
        } catch let status as ExitCode {
            return status.rawValue
        } catch {
            if exitCode(for: error).isSuccess {  // --help, --version and completions
                print(fullMessage(for: error))
                return 0
            }
            let text = unknownCommand() ?? message(for: error).split(separator: "\n").joined(separator: " ")
            complain(
                "\(text) (see '\(([configuration.commandName ?? ""] + givenCommands().names).joined(separator: " ")) --help')"
            )
            return Failure.Code.usage.rawValue
        }
    }

    /// The message for a word that is not a command.
    private static func unknownCommand() -> String? {
        let (given, commands) = givenCommands()
        let words = ProcessArguments.all.dropFirst(1 + given.count)
        guard !commands.isEmpty, let word = words.first, !word.hasPrefix("-"), word != "help" else { return nil }
        var shown: [String] = []
        for command in commands where command.configuration.shouldDisplay { shown.append(command._commandName) }
        let near = SettingsCatalog.nearest(to: word, among: shown)
        return "there is no command '\(word)'" + (near.map { "; did you mean '\($0)'?" } ?? "")
    }

    /// The subcommands at the start of the command line, and the subcommands of the last one.
    private static func givenCommands() -> (names: [String], next: [any ParsableCommand.Type]) {
        var names: [String] = []
        var commands = configuration.subcommands
        for argument in ProcessArguments.all.dropFirst() {
            guard let next = commands.first(where: { $0._commandName == argument }) else { break }
            names.append(argument)
            commands = next.configuration.subcommands
        }
        return (names, commands)
    }
}

/// Prints the version.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print version, commit and kind of build.",
        discussion: "Example:\n  tunic version")

    /// Version, commit and kind of build.
    static let text = "tunic \(versionAndCommit) (\(build))"

    func run() { print(Self.text) }
}

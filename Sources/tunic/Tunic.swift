internal import ArgumentParser
internal import CShims
internal import Glibc

/// The version of the program.
let version = "0.1.0"

/// The command `tunic`.
struct Tunic: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tunic",
        abstract: "An onion-routing proxy for apps that speak SOCKS or HTTP CONNECT, over several nodes.",
        discussion: """
            A whole network on this machine, and a request through it:

              tunic devnet --socks 127.0.0.1:1080
              curl --proxy socks5h://127.0.0.1:1080 http://127.0.0.1:8000/

            Exit codes:
              64  the command line is wrong
              65  a file's contents are wrong
              66  a file is missing
              69  an address, a socket or the network cannot be used
              70  a mistake of this program
              71  the system refused something
              73  a file or folder cannot be made
              74  a read or write failed
              75  in use by another process
              77  permissions are wrong
              78  the configuration or the clock makes no sense
            """,
        version: "tunic \(version)",
        subcommands: [
            RunCommand.self, ClientCommand.self, RelayCommand.self, ConfigCommand.self, NetworkCommand.self,
            DevnetCommand.self, StatusCommand.self, PathsCommand.self, WalletCommand.self, StakeCommand.self,
            NodesCommand.self, OxendCommand.self, BenchCommand.self, NewPathCommand.self, ExitsCommand.self,
            StreamsCommand.self, TopCommand.self, CheckCommand.self, WebCommand.self, MetricsCommand.self,
            ReloadCommand.self,
            VersionCommand.self, RunWithParentCommand.self,
        ])

    /// Runs the command line of this process; what goes wrong is one line on standard error.
    ///
    /// A command whose output is not all with the kernel has failed, whatever it did.
    static func start() -> Never {
        let status = runCommandLine()
        let output = shim_flush_output()
        guard output < 0, status == 0 else { Glibc.exit(status) }
        let failure = Failure.of(-output, "cannot write to", "standard output")
        complain(failure.message)
        Glibc.exit(Failure.Code.io.rawValue)
    }

    /// The status for the process.
    private static func runCommandLine() -> Int32 {
        do {
            var command = try parseAsRoot()
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
            let text = message(for: error).split(separator: "\n").joined(separator: " ")
            complain(
                "\(text) (see '\(([configuration.commandName ?? ""] + givenCommands()).joined(separator: " ")) --help')"
            )
            return Failure.Code.usage.rawValue
        }
    }

    /// The subcommands that the command line begins with.
    private static func givenCommands() -> [String] {
        var names: [String] = []
        var commands = configuration.subcommands
        for argument in CommandLine.arguments.dropFirst() {
            guard let next = commands.first(where: { $0._commandName == argument }) else { break }
            names.append(argument)
            commands = next.configuration.subcommands
        }
        return names
    }
}

/// Prints the version.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print the version.", discussion: "Example:\n  tunic version")

    func run() { print("tunic \(version)") }
}

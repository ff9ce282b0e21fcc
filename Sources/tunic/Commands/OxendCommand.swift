internal import ArgumentParser
internal import Control
internal import Daemon
internal import Oxen
internal import Process
internal import Texts
internal import Wire

/// Shows what an oxend daemon would tell a node beside it.
struct OxendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "oxend", abstract: "Ask an oxend daemon for its nodes or for a name.",
        subcommands: [OxendNodes.self, OxendResolve.self])
}

/// The daemon's address, as an option.
struct OxendOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's JSON-RPC (default: \(OxendAddress.standard)).", valueName: "address"),
        transform: option(SettingText.oxendAddress))
    var oxend: OxendAddress?

    /// The given address, or the standard one.
    func address() throws(OxendError) -> OxendAddress {
        if let oxend { return oxend }
        return try OxendAddress(OxendAddress.standard)
    }
}

/// Lists the nodes that the daemon knows.
struct OxendNodes: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nodes", abstract: "Show how many nodes the daemon lists, and each with --json.",
        discussion: """
            Examples:
              tunic oxend nodes
              tunic oxend nodes --oxend http://127.0.0.1:22023 --json
            """)

    @OptionGroup var options: OxendOptions
    @Flag(help: "Print every node, as JSON.")
    var json = false

    func run() throws {
        let list: OxendList
        do throws(OxendError) {
            list = try OxendCalls.list(of: try options.address())
        } catch {
            throw Failure(.unavailable, error.description)
        }
        if json { return print(Control.json(OxendNodesReport(list))) }
        print(list.text)
    }
}

/// Looks a name up.
struct OxendResolve: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve", abstract: "Print the address that a name of the Oxen Name Service stands for.",
        discussion: """
            Example:
              tunic oxend resolve blocks.loki
            """)

    @OptionGroup var options: OxendOptions
    @Argument(help: "The name.")
    var name: String

    func run() throws {
        do throws(OxendError) {
            print(try OxendCalls.resolve(name, by: try options.address()))
        } catch {
            throw Failure(error == .unknownName ? .noInput : .unavailable, error.description)
        }
    }
}

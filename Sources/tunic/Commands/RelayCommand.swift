internal import ArgumentParser
internal import Control
internal import Daemon
internal import Oxen
internal import Process

/// Runs a node.
///
/// It has more members than most types: one for each option.
struct RelayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay", abstract: "Run a node of a network.",
        discussion: """
            Examples:
              tunic relay --network network.json --listen 0.0.0.0:7100 --public 198.51.100.7:7100 --data /var/lib/tunic
              tunic relay --network network.json --listen 0.0.0.0:7100 --public 198.51.100.7:7100 --data /var/lib/tunic --exit
              tunic relay --network network.json --listen '198.51.100.7:7100,[2001:db8::7]:7100' --data /var/lib/tunic

            SIGINT and SIGTERM end it when it carries no more traffic; a second one ends it at once.
            """)

    @OptionGroup var options: RoleOptions

    @Option(
        help: ArgumentHelp(
            "The UDP address to listen on; IPv4 and IPv6 separated by a comma, or repeated.", valueName: "address"))
    var listen: [String] = []

    @Option(
        name: .customLong("public"),
        help: ArgumentHelp(
            "The address to which others send, if it differs; IPv4 and IPv6 separated by a comma.",
            valueName: "address"))
    var announced: [String] = []

    @Option(help: ArgumentHelp("The node's data folder, which holds its key.", valueName: "folder"))
    var data: String?

    @Option(
        help: ArgumentHelp(
            "The key of an authority: the node makes blocks of the network's ledger.", valueName: "file"))
    var authority: String?

    @OptionGroup var passphrase: PassphraseOption

    @Option(
        name: .customLong("authority-passphrase-file"),
        help: ArgumentHelp("The source of the passphrase of the authority's key.", valueName: "file"))
    var authorityPassphraseFile: String?

    @Flag(help: "Open connections to the outside for clients.")
    var exit = false

    @Option(
        help: ArgumentHelp("Two letters of the country by which clients can choose the node.", valueName: "letters"))
    var country: String?

    @Option(help: ArgumentHelp("How many threads carry packets, 1 to 16 (default: 1).", valueName: "number"))
    var workers: String?

    @Option(
        name: .customLong("exit-allow"),
        help: ArgumentHelp(
            "A range of private or loopback addresses that the exit opens, for tests; may be repeated.",
            valueName: "range"))
    var exitAllowed: [String] = []

    @Option(
        name: .customLong("exit-resolver"),
        help: ArgumentHelp(
            "A name server that the exit asks, an address with or without a port; may be repeated (default: the system's).",
            valueName: "address"))
    var exitResolvers: [String] = []

    @Option(
        help: ArgumentHelp(
            "An oxend daemon's administrative JSON-RPC, such as \(OxendAddress.standard): "
                + "the registry and the node's key come from it.",
            valueName: "address"))
    var oxend: String?

    @Option(
        help: ArgumentHelp(
            "A file with the staked nodes, signed by the network's authorities.", valueName: "file"))
    var registry: String?

    @Flag(
        help: ArgumentHelp(
            "Print whether this node can serve, and end: ports, clock, file limits, registry, reachability from others.",
            discussion: """
                The running relay is asked: at --control, with this data folder, or where 'tunic status' asks. Otherwise \
                one is started for the check.
                """))
    var check = false

    @Flag(help: "With --check: print the report as one line of JSON.")
    var json = false

    mutating func validate() throws {
        guard check || !json else { throw ValidationError("--json only takes effect with --check") }
    }

    func run() throws {
        var source = options.source
        source.add("--listen", "relay.listen", listen.flatMap(parts))
        source.add("--public", "relay.public", announced.flatMap(parts))
        source.add("--data", "data", data)
        source.add("--exit", "relay.exit", exit)
        source.add("--exit-allow", "relay.exit_allow", exitAllowed)
        source.add("--exit-resolver", "relay.exit_resolver", exitResolvers)
        source.add("--country", "relay.country", country)
        source.add("--workers", "relay.workers", workers)
        source.add("--oxend", "relay.oxend", oxend)
        source.add("--registry", "relay.registry", registry)
        source.add("--authority", "relay.authority", authority)
        source.add("--passphrase-file", "relay.passphrase_file", passphrase.file)
        source.add("--authority-passphrase-file", "relay.authority_passphrase_file", authorityPassphraseFile)
        if check {
            let report = try RelayCheck.run(source, control: options.control)
            print(json ? Control.json(report) : report.text)
            throw ExitCode(report.serves ? 0 : Failure.Code.unavailable.rawValue)
        }
        throw ExitCode(try RoleProcess.run(source, [.relay], parent: options.process.parent))
    }

    /// The parts of a text that are separated by commas.
    private func parts(_ text: String) -> [String] {
        text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
}

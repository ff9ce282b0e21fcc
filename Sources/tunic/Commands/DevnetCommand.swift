internal import ArgumentParser
internal import Daemon
internal import Logging
internal import Process
internal import Provision
internal import Wire

/// Runs a whole network on this machine.
struct DevnetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "devnet", abstract: "Run a whole network on this machine: nodes and a client, each a process.",
        discussion: """
            Examples:
              tunic devnet
              tunic devnet --nodes 8 --exits 3 --socks 127.0.0.1:0 --json
              tunic devnet --nodes 12 --shards 64
              tunic devnet -- curl http://127.0.0.1:8000/

            A command after -- runs when a path is ready; when it ends, the network ends with its status. It finds the proxy \
            in ALL_PROXY, HTTP_PROXY and HTTPS_PROXY (also in lower case) and in TUNIC_SOCKS, the client's control socket \
            in TUNIC_CONTROL, and no NO_PROXY.

            Unless another client or the service runs, 'tunic paths', 'top', 'web' and the like find the network's client \
            without --control; not with --json, whose line names its socket, and not beside a command.

            Exits reach this machine's loopback addresses. SIGINT and SIGTERM end everything.
            """)

    @Option(help: "How many nodes.")
    var nodes = 6

    @Option(help: "How many of them are exits.")
    var exits = 2

    @Option(help: "How many threads of each node carry packets.")
    var workers = 1

    @Option(
        help: ArgumentHelp(
            "Where SOCKS and HTTP listen; port 0 is a free one (default: 127.0.0.1:1080).",
            valueName: "address"),
        transform: option(SettingText.devnetEndpoint))
    var socks = Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 1080)

    @Option(
        help: ArgumentHelp(
            "A folder for keys, logs and sockets, kept at the end (default: a temporary one).", valueName: "folder"))
    var dir: String?

    @Option(
        help: ArgumentHelp("How long an epoch of the registry lasts; a block takes a second.", valueName: "seconds"))
    var epoch: UInt64 = 5

    @Option(
        help: ArgumentHelp(
            "A new node's credit: how long it may fail to serve, beside an epoch of grace.", valueName: "seconds"))
    var credit: UInt32 = 60

    @OptionGroup var path: PathOptions

    @OptionGroup var network: NetworkOptions

    @Flag(help: "Print one line of JSON when a path is ready, and nothing else.")
    var json = false

    @OptionGroup var logging: LogOptions

    @Argument(help: ArgumentHelp("A command to run through the network.", valueName: "command"))
    var command: [String] = []

    /// The network that the options describe.
    private var options: Devnet.Options {
        var options = Devnet.Options(socks: socks)
        (options.nodes, options.exits, options.hops, options.pathUse) = (nodes, exits, path.hops, path.pathUse)
        options.workers = workers
        options.folder = dir.map(Files.absolute)
        options.packetSize = network.packetSize
        (options.limits, options.swarms) = (network.limits, network.swarms)
        options.registry = RegistryPlan(epoch: epoch, block: 1, testCredit: credit)
        options.logLevel = (logging.level ?? .notice).rawValue
        options.command = command
        // Programs and the command are told the socket, and several of their networks may start at once.
        options.takesStandardControl = !json && command.isEmpty
        return options
    }

    func validate() throws {
        let options = options
        try checked { () throws(ChoiceFault) in try options.check() }
    }

    func run() throws {
        throw ExitCode(try Devnet(options, watcher: DevnetPrinter(isJSON: json, hasCommand: !command.isEmpty)).run())
    }
}

/// Runs a command that ends with its parent, even if the parent is killed.
struct RunWithParentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run-with-parent", abstract: "Run a command that is killed when this command's parent ends.",
        shouldDisplay: false)

    @Option(help: "The parent's process id.")
    var parent: Int32

    @Argument(parsing: .captureForPassthrough)
    var command: [String]

    func run() throws { try CommandReplacement.run(command, parent: parent) }
}

internal import ArgumentParser
internal import Control
internal import Daemon
internal import Process

/// Runs a client.
struct ClientCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Run a client: SOCKS and HTTP proxy on this machine, onion routing to the network.",
        discussion: """
            Examples:
              tunic client --network network.json
              tunic client --network network.json --socks 127.0.0.1:9050 --socks '[::1]:9050' --hops 4
              tunic client --network network.json --socks unix:/run/user/1000/tunic.sock

            Apps that use different addresses of the client never share a path. Only the user can open a unix socket (mode 0600). \
            Without a path, apps get an error, never a direct connection. SIGINT and SIGTERM end it; at SIGHUP it reads its \
            configuration again.
            """)

    @OptionGroup var options: RoleOptions

    @Option(
        help: ArgumentHelp(
            """
            The address for SOCKS and HTTP: a loopback address, with port 0 for a free one, or unix: and a path; may be \
            repeated (default: 127.0.0.1:1080). After it, separated by commas: destination-host, destination-port and \
            client-address separate streams by these, too; no-credentials, no-listener and no-protocol do not separate them \
            by those; names-only refuses addresses.
            """,
            valueName: "address[,flag]"))
    var socks: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            The address at which DNS is answered through the exit, over UDP and TCP: a loopback address, with port 0 for a \
            free one; may be repeated (default: none).
            """,
            valueName: "address"))
    var dns: [String] = []

    @Option(
        name: .customLong("udp-idle"),
        help: ArgumentHelp(
            "How long a UDP association of an app lives without a datagram, 1 to 3600 (default: 300).",
            valueName: "seconds"))
    var udpIdle: String?

    @Option(
        help: ArgumentHelp(
            "The data folder (default: tunic in $XDG_STATE_HOME or ~/.local/state).", valueName: "folder"))
    var data: String?

    @Option(help: "How many nodes a path has, 1 to 4 (default: 3).")
    var hops: String?

    @Option(
        name: .customLong("path-use"),
        help: ArgumentHelp(
            "How long a path is used before another takes its place, 2 to 900 (default: 900).", valueName: "seconds"))
    var pathUse: String?

    @Flag(name: .customLong("allow-remote"), help: "Allow addresses in --socks that other machines can reach.")
    var allowRemote = false

    func run() throws {
        var source = options.source
        source.add("--socks", "client.socks", socks)
        source.add("--dns", "client.dns", dns)
        source.add("--udp-idle", "client.udp_idle", udpIdle)
        source.add("--data", "data", data)
        source.add("--hops", "client.hops", hops)
        source.add("--path-use", "client.path_use", pathUse)
        source.add("--allow-remote", "client.allow_remote", allowRemote)
        throw ExitCode(try RoleProcess.run(source, [.client], parent: options.process.parent))
    }
}

internal import ArgumentParser
internal import Process
internal import Provision

/// Runs a program that uses a running client as its proxy.
struct ExecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Run a program with a running client as its proxy.",
        discussion: """
            Examples:
              tunic exec -- curl https://example.org/
              tunic exec -- firefox

            The program finds the proxy in ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, FTP_PROXY, WS_PROXY and WSS_PROXY (also in lower \
            case), in RSYNC_PROXY and in TUNIC_SOCKS, and no NO_PROXY. Programs that ignore these bypass the proxy: nothing stops \
            them.

            Firefox, Chromium and browsers made from them send some requests, names and UDP past such a proxy. They get a profile \
            of their own that uses only the proxy, unless the command names a profile (-P, --profile, --user-data-dir). Programs \
            such as xdg-open are refused: they pass the address to a browser that may run already, without the proxy.
            """)

    @Option(
        help: "The process' control socket (default: $TUNIC_CONTROL, else this user's client's or the service's).")
    var control: String?

    @Argument(help: ArgumentHelp("The program and its arguments.", valueName: "program"))
    var command: [String]

    func run() throws {
        try ProxiedProgram.run(command, through: try ControlTarget(control))
    }
}

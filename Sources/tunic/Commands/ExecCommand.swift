internal import ArgumentParser
internal import Control

/// Runs a program that goes through a running client.
struct ExecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Run a program with a running client as its proxy.",
        discussion: """
            Examples:
              tunic exec -- curl https://example.org/
              tunic exec -- firefox --no-remote -P tunic

            The program finds the proxy in ALL_PROXY, HTTP_PROXY and HTTPS_PROXY (also in lower case) and in TUNIC_SOCKS, and no \
            NO_PROXY. Programs that do not look there go past it: nothing holds them back.
            """)

    @Option(
        help: "The process' control socket (default: $TUNIC_CONTROL, else this user's client's or the service's).")
    var control: String?

    @Argument(help: ArgumentHelp("The program and its arguments.", valueName: "program"))
    var command: [String]

    func run() throws {
        var target = ControlOptions()
        target.control = control
        let path = try target.path()
        let report = try target.ask(.status, as: StatusReport.self)
        let client = ([report] + (report.others ?? [])).first { $0.role == .client }
        guard let client else { throw Failure(.unavailable, "\(path): the process there is no client") }
        guard let socks = client.socks.first(where: { !$0.hasPrefix("unix:") && !$0.hasPrefix("systemd:") }) else {
            throw Failure(.unavailable, "the client has no TCP address for apps; give it one with 'client.socks'")
        }
        guard client.ready else {
            throw Failure(.unavailable, "the client is not ready: \(client.problem ?? "it is starting")")
        }
        try CommandReplacement.run(command, environment: ProxyEnvironment.variables(socks: socks, control: path))
    }
}

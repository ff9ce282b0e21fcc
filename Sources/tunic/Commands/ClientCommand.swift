internal import ArgumentParser
internal import Client
internal import Control
internal import Directory
internal import EventLoop
internal import Logging
internal import Store
internal import Wire

/// Runs a client.
struct ClientCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Run a client: SOCKS and HTTP CONNECT on this machine, onion routing to the network.",
        discussion: """
            Examples:
              tunic client --network network.json
              tunic client --network network.json --socks 127.0.0.1:9050 --socks '[::1]:9050' --hops 4
              tunic client --network network.json --socks unix:/run/user/1000/tunic.sock

            Apps that use different addresses of the client never share a path. A unix socket is the user's alone (mode 0600).
            Without a path, apps get an error, never a direct connection. SIGINT and SIGTERM end it.
            """)

    @OptionGroup var options: RoleOptions

    @Option(
        help: ArgumentHelp(
            """
            Where SOCKS and HTTP CONNECT listen: a loopback address, with port 0 for a free one, or unix: and a path; may be \
            repeated (default: 127.0.0.1:1080).
            """,
            valueName: "address"),
        transform: proxyAddress)
    var socks: [ProxyAddress] = []

    @Option(
        help: ArgumentHelp(
            "The data folder (default: tunic in $XDG_STATE_HOME or ~/.local/state).", valueName: "folder"))
    var data: String?

    @OptionGroup var path: PathOptions

    mutating func validate() throws {
        let named = socks.filter { if case .tcp(let endpoint) = $0 { endpoint.port != 0 } else { true } }
        guard Set(named).count == named.count else {
            throw ValidationError("--socks names an address twice")
        }
    }

    func run() throws {
        try ProcessLimits.apply()
        let network = try NetworkFile.read(options.network)
        let folder = try data ?? ClientFolder.defaultPath()
        let controlPath = try options.controlPath(in: folder)
        if data == nil { try Files.makeFolders(folder) }
        let store = try RoleFolder.openStore(in: folder)
        let loop = try makeLoop()
        let log = options.logging.logger("client")

        var configuration = ClientConfiguration(
            socks: socks.isEmpty ? [.tcp(Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 1080))] : socks)
        configuration.hops = path.hops
        configuration.pathUse = .seconds(Int64(path.pathUse))
        let client: Client
        do {
            client = try Client(loop: loop, network: network, configuration: configuration, store: store, log: log)
        } catch {
            throw Failure.starting(error, at: configuration.socks.map(\.description), option: "--socks")
        }
        client.onReady = { log.notice("ready") }
        let role = Role(
            start: client.start, finish: client.close, close: client.close,
            report: { StatusReport(client.status, paths: client.paths) }, paths: { PathsReport(client.paths) })
        let process = try RoleProcess(
            on: loop, role: role, controlPath: controlPath, parent: options.parent, log: log)
        throw ExitCode(process.run())
    }
}

extension StatusReport {
    /// What a client reports.
    init(_ status: ClientStatus, paths: [PathStatus]) {
        self.init(role: .client, version: tunic.version)
        ready = status.isReady
        problem = status.problem
        socks = status.socks.map(\.description)
        links = status.links
        self.paths = paths.count { $0.state == .ready }
        sessions = status.sessions
        streams = status.streams
        descriptors = status.descriptors
        total = .init(
            packetsIn: status.packetsIn, packetsOut: status.packetsOut, bytesIn: status.bytesIn,
            bytesOut: status.bytesOut)
        drops = status.drops
        builds = status.builds
        failedBuilds = status.failedBuilds
        buildTimes = status.buildTimes.map { ($0.inMilliseconds * 1000).rounded() / 1000 }
    }
}

extension PathsReport {
    /// A client's paths.
    init(_ paths: [PathStatus]) {
        self.init(
            paths: paths.map {
                Path(
                    hops: $0.hops.map(\.description), state: $0.state.rawValue, active: $0.isActive,
                    age: $0.age.inSeconds,
                    roundTrip: $0.roundTrip?.inMilliseconds, bytesIn: $0.bytesIn, bytesOut: $0.bytesOut)
            })
    }
}

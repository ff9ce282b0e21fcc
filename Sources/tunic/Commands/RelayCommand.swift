internal import ArgumentParser
internal import Control
internal import Directory
internal import EventLoop
internal import Logging
internal import OnionCrypto
internal import Oxen
internal import Relay
internal import Store
internal import Wire

/// Runs a node.
struct RelayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay", abstract: "Run a node of a network.",
        discussion: """
            Examples:
              tunic relay --network network.json --listen 0.0.0.0:7100 --public 198.51.100.7:7100 --data /var/lib/tunic
              tunic relay --network network.json --listen 0.0.0.0:7100 --public 198.51.100.7:7100 --data /var/lib/tunic --exit
              tunic relay --network network.json --listen '198.51.100.7:7100,[2001:db8::7]:7100' --data /var/lib/tunic

            SIGINT and SIGTERM end it when its paths have ended; a second one ends it at once.
            """)

    @OptionGroup var options: RoleOptions

    @Option(
        help: ArgumentHelp(
            "The UDP address to listen at; IPv4 and IPv6 with a comma between, or repeated.", valueName: "address"),
        transform: endpoints)
    var listen: [[Endpoint]]

    @Option(
        name: .customLong("public"),
        help: ArgumentHelp(
            "The address that others send to, where it is another one; IPv4 and IPv6 with a comma between.",
            valueName: "address"),
        transform: announcedEndpoints)
    var announced: [Endpoint]?

    @Option(help: ArgumentHelp("The node's data folder, which holds its key.", valueName: "folder"))
    var data: String

    @Flag(help: "Open connections to the outside for clients.")
    var exit = false

    @Option(
        name: .customLong("exit-allow"),
        help: ArgumentHelp(
            "A range of private or loopback addresses that the exit opens, for tests; may be repeated.",
            valueName: "range"),
        transform: addressRange)
    var exitAllowed: [CIDR] = []

    @Option(
        help: ArgumentHelp(
            "An oxend daemon's administrative JSON-RPC, such as \(OxendAddress.standard): "
                + "the registry and the node's key come from it.",
            valueName: "address"),
        transform: oxendAddress)
    var oxend: OxendAddress?

    mutating func validate() throws {
        guard exit || exitAllowed.isEmpty else { throw ValidationError("--exit-allow has a meaning with --exit only") }
        for isIPv4 in [true, false] where addresses.count(where: { $0.address.isIPv4 == isIPv4 }) > 1 {
            throw ValidationError("--listen names two \(isIPv4 ? "IPv4" : "IPv6") addresses; give one of each family")
        }
        if let announced {
            for other in announced where !addresses.contains(where: { $0.address.isIPv4 == other.address.isIPv4 }) {
                let family = other.address.isIPv4 ? ("IPv4", "0.0.0.0") : ("IPv6", "[::]")
                throw ValidationError(
                    "--public names \(other), but --listen has no \(family.0) address; "
                        + "add one, such as --listen \(family.1):\(other.port)")
            }
        } else if let all = addresses.first(where: \.address.isUnspecified) {
            throw ValidationError(
                "--listen \(all) is every address of this machine; say with --public which one others send to")
        }
    }

    /// Where to listen.
    private var addresses: [Endpoint] { listen.flatMap { $0 } }

    func run() throws {
        try ProcessLimits.apply()
        let network = try NetworkFile.read(options.network)
        let controlPath = try options.controlPath(in: data)
        let key = try oxend.map { try OxendRegistry.key(of: $0) } ?? RoleFolder.readKey(in: data)
        let store = try RoleFolder.openStore(in: data)
        let loop = try makeLoop()
        let log = options.logging.logger("relay")

        var configuration = RelayConfiguration(listen: addresses)
        configuration.announced = announced ?? []
        configuration.isExit = exit
        configuration.exitAllowed = exitAllowed
        let daemon = oxend.map {
            OxendRegistry.daemon(
                at: $0, network: network, node: NodeID(key.publicKey), log: options.logging.logger("oxend"))
        }
        let relay: Relay
        do {
            relay = try Relay(
                loop: loop, network: network, configuration: configuration, identity: key, registry: daemon,
                store: store, log: log)
        } catch {
            throw Failure.starting(error, at: addresses.map(\.description), option: "--listen")
        }
        let role = Role(
            start: relay.start, finish: { relay.drain(completion: $0) }, close: relay.close,
            report: { StatusReport(relay.status, daemon?.status) }, paths: { nil })
        let process = try RoleProcess(
            on: loop, role: role, controlPath: controlPath, parent: options.parent, log: log)
        if let daemon {
            relay.onProblem = { daemon.setProblem($0) }
            try OxendRegistry.start(daemon)
        }
        let status = process.run()
        daemon?.stop()
        throw ExitCode(status)
    }
}

extension StatusReport {
    /// What a relay reports.
    init(_ status: RelayStatus, _ daemon: OxendStatus?) {
        self.init(role: .relay, version: tunic.version)
        ready = status.isReady
        problem = status.problem ?? daemon?.problem
        oxend = daemon.map(OxendReport.init)
        node = status.nodeID.description
        addresses = status.addresses.map(\.description)
        exit = status.isExit
        draining = status.isDraining
        links = status.links
        paths = status.paths
        sessions = status.sessions
        streams = status.streams
        descriptors = status.descriptors
        total = .init(
            packetsIn: status.packetsIn, packetsOut: status.packetsOut, bytesIn: status.bytesIn,
            bytesOut: status.bytesOut)
        drops = status.drops
        builds = status.builds
        refusals = status.refusals
    }
}

extension Failure {
    /// The failure of a role's start, which most often is its address.
    static func starting(_ error: any Error, at addresses: [String], option: String) -> Failure {
        if let failure = error as? Failure { return failure }
        if let error = error as? StoreError { return of(error) }
        if let error = error as? UVError {
            let names = addresses.joined(separator: ", ")
            return listening(error, at: addresses.count > 1 ? "one of \(names)" : names, option: option)
        }
        return Failure(.configuration, "\(error)")
    }
}

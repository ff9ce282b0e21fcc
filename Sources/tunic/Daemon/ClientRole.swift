internal import BuildInfo
internal import Client
internal import Control
internal import Directory
internal import EventLoop
internal import Logging
internal import Settings
internal import Store
internal import Wire

/// The client of a process.
final class ClientRole: Role {
    let kind = StatusReport.Role.client
    private let client: Client
    private let log: Logger
    var onReady: (() -> Void)?

    /// A client by `settings`; what it needs is open when this returns.
    ///
    /// `own` are this machine's nodes, which are in no path.
    init(
        on loop: Loop, _ settings: Settings, network: NetworkFile, folder: String, own: Set<NodeID>, log: Logger
    ) throws(Failure) {
        self.log = log
        var configuration = try Self.configuration(settings)
        configuration.own = own
        let store = try RoleFolder.openStore(in: folder)
        do {
            client = try Client(loop: loop, network: network, configuration: configuration, store: store, log: log)
        } catch {
            let isForDNS = configuration.dns.contains { $0.description == (error as? UVError)?.address }
            throw Failure.starting(error, option: isForDNS ? "--dns" : "--socks")
        }
        Self.warnOfIdle(configuration.socks, log)
        client.onReady = { [unowned self] in
            onReady?()
            log.notice("\(Self.readyText(client.socksAddresses, dns: client.dnsAddresses))")
        }
    }

    /// What a ready client says: where apps find it.
    private static func readyText(_ proxies: [ProxyAddress], dns: [Endpoint]) -> String {
        guard !proxies.isEmpty else { return "ready" }
        let places = proxies.map(\.description).joined(separator: ", ")
        let names = dns.isEmpty ? "" : "; DNS at \(dns.map(\.description).joined(separator: ", "))"
        return "ready: SOCKS and HTTP proxy at \(places)\(names)"
    }

    /// Says of which of systemd's sockets nobody takes the connections: those wait in the kernel for ever.
    private static func warnOfIdle(_ taken: [ProxyAddress], _ log: Logger) {
        for socket in ActivatedSockets.all {
            let isTaken = taken.contains {
                if case .inherited(_, socket.descriptor) = $0 { true } else { false }
            }
            guard !isTaken else { continue }
            log.warning(
                "systemd hands over a socket that no setting names, and apps that come to it wait for ever",
                metadata: ["name": "\(socket.name)"])
        }
    }

    /// The configuration that `settings` stand for.
    static func configuration(_ settings: Settings) throws(Failure) -> ClientConfiguration {
        do throws(SettingProblems) {
            let mayBeRemote = settings.boolean("client.allow_remote")
            let socks = try settings.readList("client.socks") { try proxyListeners($0, mayBeRemote: mayBeRemote) }
                .flatMap(\.self)
            let named = socks.map(\.address).filter {
                if case .tcp(let endpoint) = $0 { endpoint.port != 0 } else { true }
            }
            if Set(named).count != named.count {
                throw SettingProblems([settings.problem("client.socks", "an address is named twice")])
            }
            let dns = try settings.readList("client.dns", dnsEndpoint)
            let ports = dns.filter { $0.port != 0 }
            if Set(ports).count != ports.count || ports.contains(where: { named.contains(.tcp($0)) }) {
                throw SettingProblems([settings.problem("client.dns", "an address is named twice, here or in 'socks'")])
            }
            var configuration = ClientConfiguration(socks: [])
            configuration.listeners = socks
            configuration.dns = dns
            configuration.udpIdle = .seconds(settings.integer("client.udp_idle") ?? 300)
            configuration.hops = Int(settings.integer("client.hops") ?? 3)
            configuration.pathUse = .seconds(settings.integer("client.path_use") ?? 900)
            configuration.sparePaths = Int(settings.integer("client.spare_paths") ?? 2)
            configuration.exits = try NodeChoice(settings, "client.exits")
            configuration.avoided = try NodeChoice(settings, "client.avoid")
            configuration.exitCheck = .seconds(settings.integer("client.exit_check") ?? 60)
            return configuration
        } catch {
            throw Failure.of(error)
        }
    }

    func start() { client.start() }
    func finish(_ completion: @escaping () -> Void) { client.close(completion: completion) }
    func close(_ completion: @escaping () -> Void) { client.close(completion: completion) }
    func report() -> StatusReport {
        var report = StatusReport(client.status, paths: client.paths)
        report.progress = client.progress.map { ProgressStep($0.step, done: $0.isDone) }
        return report
    }

    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply? {
        switch command {
        case .paths: .paths(PathsReport(client.paths))
        case .exits: .report(ExitsReport(client.exits))
        case .streams: .report(StreamsReport(client.keys))
        case .newpath: newPath(argument)
        default: nil
        }
    }

    private func newPath(_ label: String?) -> ControlReply {
        let count = client.renewPaths(label: label)
        if let label, count == 0 {
            return .refusal("no app uses the key '\(label)'; 'tunic streams' shows those in use")
        }
        let what = label == nil ? "All new streams begin" : "New streams of the key begin"
        return .report(Done("\(what) on new paths; what is open goes on as it is."))
    }

    func prepare(_ settings: Settings) throws(Failure) -> PreparedChange {
        let configuration = try Self.configuration(settings)
        let listeners: (commit: () -> Void, abandon: () -> Void)
        do {
            listeners = try client.prepare(configuration.listeners)
        } catch {
            throw Failure.starting(error, option: "client.socks")
        }
        return PreparedChange { [client, log] in
            listeners.commit()
            Self.warnOfIdle(configuration.socks, log)
            client.apply(configuration)
        } abandon: {
            listeners.abandon()
        }
    }
}

extension StatusReport {
    /// What a client reports.
    init(_ status: ClientStatus, paths: [PathStatus]) {
        self.init(role: .client, version: versionAndCommit)
        ready = status.isReady
        problem = status.problem
        socks = status.socks.map(\.description)
        socksFlags = status.socksFlags
        dns = status.dns.isEmpty ? nil : status.dns.map(\.description)
        links = status.links
        self.paths = paths.count { $0.state == .ready }
        sessions = status.sessions
        streams = status.streams
        associations = status.associations
        descriptors = status.descriptors
        snapshot = SnapshotReport(
            height: status.snapshot.height, digest: status.snapshot.digest, time: status.snapshot.time.seconds,
            nodes: status.snapshot.nodes, witnesses: status.witnesses, contradicted: status.isContradicted,
            list: status.snapshot.list)
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
                    age: $0.age.inSeconds, guardRoundTrip: $0.guardRoundTrip?.inMilliseconds,
                    roundTrip: $0.roundTrip?.inMilliseconds, buildTime: $0.buildTime?.inMilliseconds,
                    bytesIn: $0.bytesIn, bytesOut: $0.bytesOut)
            })
    }
}

extension ExitsReport {
    /// The exits that a client may use.
    init(_ exits: [ExitStatus]) {
        self.init(
            exits: exits.map {
                Exit(
                    node: $0.node.description, country: $0.country, up: $0.isUp,
                    buildTime: $0.buildTime?.inMilliseconds, sessions: $0.sessions)
            })
    }
}

extension StreamsReport {
    /// What a client's apps have open.
    init(_ keys: [KeyStatus]) {
        self.init(
            keys: keys.map {
                Key(
                    label: $0.label, streams: $0.streams, sessions: $0.sessions, exit: $0.exit.description,
                    age: $0.age.inSeconds, roundTrip: $0.roundTrip?.inMilliseconds, bytesIn: $0.bytesIn,
                    bytesOut: $0.bytesOut)
            })
    }
}

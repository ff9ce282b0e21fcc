internal import Client
internal import Control
internal import Directory
internal import EventLoop
internal import Logging
internal import Process
internal import Settings
internal import Store
internal import Wire

/// The client of a process.
final class ClientRole: ProcessRole {
    let kind = StatusReport.Role.client
    let client: Client
    private let loop: Loop
    private let log: Logger

    /// A client with `settings`; it has opened everything when this returns.
    ///
    /// `own` are this machine's nodes, which are used in no path.
    init(
        on loop: Loop, _ settings: Settings, network: NetworkFile, folder: String, own: Set<NodeID>, log: Logger
    ) throws(Failure) {
        self.log = log
        self.loop = loop
        var configuration = try ClientConfiguration(settings)
        configuration.own = own
        let store = try RoleFolder.openStore(in: folder)
        do {
            client = try Client(
                loop: loop, network: network, configuration: configuration, store: store, log: log,
                sentence: \.sentence)
        } catch {
            let isForDNS = configuration.dns.contains { $0.description == (error as? UVError)?.address }
            throw Failure.starting(error, option: isForDNS ? "--dns" : "--socks")
        }
        Self.warnOfIdle(configuration.socks, log)
    }

    /// The message of a ready client, with its addresses for apps.
    private static func readyText(_ proxies: [ProxyAddress], dns: [Endpoint]) -> String {
        guard !proxies.isEmpty else { return "ready" }
        let places = proxies.map(\.description).joined(separator: ", ")
        let names = dns.isEmpty ? "" : "; DNS at \(dns.map(\.description).joined(separator: ", "))"
        return "ready: SOCKS and HTTP proxy at \(places)\(names)"
    }

    /// Warns of systemd sockets that are not used: their connections would wait in the kernel for ever.
    private static func warnOfIdle(_ taken: [ProxyAddress], _ log: Logger) {
        for socket in ActivatedSockets.all {
            let isTaken = taken.contains {
                if case .inherited(_, socket.descriptor) = $0 { true } else { false }
            }
            guard !isTaken else { continue }
            log.warning(
                "systemd passes a socket that no setting uses; apps that connect to it wait for ever",
                metadata: ["name": "\(socket.name)"])
        }
    }

    func start(onReady: @escaping () -> Void) {
        client.start { [unowned self] in
            onReady()
            log.notice("\(Self.readyText(client.socksAddresses, dns: client.dnsAddresses))")
        }
    }

    func finish(_ completion: @escaping () -> Void) { client.close(completion: completion) }
    func close(_ completion: @escaping () -> Void) { client.close(completion: completion) }
    func report() -> StatusReport {
        var report = StatusReport(client.status, paths: client.paths)
        report.progress = client.progress.map { ProgressStep($0.step.rawValue, done: $0.isDone) }
        return report
    }

    var now: Instant { Instant(nanoseconds: loop.now) }

    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply? {
        switch command {
        case .paths: .paths(PathsReport(client.paths))
        case .exits: .report(ExitsReport(client.exits))
        case .streams: .report(StreamsReport(client.keys))
        case .newpath: newPath(argument)
        case .request: request(argument)
        case .box: box(argument)
        case .status, .metrics, .log, .web, .reload, .check: nil
        case .nodes, .account, .submit, .dryrun, .operation, .maintenance: nil
        }
    }

    private func newPath(_ label: String?) -> ControlReply {
        let count = client.renewPaths(label: label)
        if let label, count == 0 {
            return .refusal("no app uses the key '\(label)'; 'tunic streams' shows those in use")
        }
        let what = label == nil ? "All new streams begin" : "New streams of the key begin"
        return .report(Done("\(what) on new paths; open streams are not affected."))
    }

    /// Asks a node for its state; the argument is `NODE status`.
    private func request(_ argument: String?) -> ControlReply {
        let words = (argument ?? "").split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 2, let node = NodeID(String(words[0])), words[1] == "status" else {
            return .refusal("expected a node's id (52 characters and .snode), a space and 'status'")
        }
        let deferred = DeferredReply()
        client.requestState(of: node) { result in
            switch result {
            case .success(let answer): deferred.give(.report(RequestReport(answer, of: node)))
            case .failure(let failure): deferred.give(.refusal(failure.text(of: node)))
            }
        }
        return .later(deferred)
    }

    func prepare(_ settings: Settings) throws(Failure) -> PreparedChange {
        let configuration = try ClientConfiguration(settings)
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

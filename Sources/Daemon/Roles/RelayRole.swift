internal import Control
internal import Directory
internal import EventLoop
internal import Logging
internal import OnionCrypto
internal import Oxen
internal import Process
internal import Relay
internal import Settings
internal import Store
internal import Wire

/// The relay of a process.
final class RelayRole: Role {
    let kind = StatusReport.Role.relay
    let relay: Relay
    private let daemon: OxendDaemon?
    private let ledger: LedgerAnswers?
    let account: MonthAccount
    private let log: Logger
    /// Who it is.
    let node: NodeID

    /// A relay by `settings`; its sockets are open when this returns.
    init(
        on loop: Loop, _ settings: Settings, network: NetworkFile, folder: String, log: Logger
    ) throws(Failure) {
        self.log = log
        let configuration = try RelayConfiguration(settings)
        let oxend = try Self.oxend(settings)
        let key =
            if let oxend { try OxendRegistry.key(of: oxend) } else {
                try RoleFolder.readKey(
                    settings.text("relay.key"), in: folder,
                    passphrase: PassphraseFile.read(settings.text("relay.passphrase_file")))
            }
        node = NodeID(key.publicKey)
        daemon = oxend.map {
            OxendRegistry.daemon(
                at: $0, network: network, node: NodeID(key.publicKey), log: Logger(label: "oxend") { _ in ConsoleLog() }
            )
        }
        let store = try RoleFolder.openStore(in: folder)
        do {
            relay = try Relay(
                loop: loop, network: network, configuration: configuration, identity: key,
                authority: try Self.authority(settings, network), registry: daemon,
                observer: daemon.map { OxendObserver($0) }, store: store, log: log)
        } catch {
            throw Failure.starting(error, option: "--listen")
        }
        ledger = relay.ledger.map { [relay] in
            LedgerAnswers($0, tests: { relay.nodeTests }, maintenance: { relay.maintenance($0) })
        }
        account = MonthAccount(folder: folder)
        account.limit(settings)
        if let daemon { try OxendRegistry.start(daemon) }
    }

    deinit {
        daemon?.stop()
        account.save()
    }

    /// The authority's key, where the node is one.
    private static func authority(_ settings: Settings, _ network: NetworkFile) throws(Failure) -> SigningKey? {
        guard let path = settings.text("relay.authority") else { return nil }
        guard network.ledger != nil else {
            throw Failure(.configuration, "--authority has a meaning in a network with a ledger only")
        }
        let passphrase = try PassphraseFile.read(settings.text("relay.authority_passphrase_file"))
        return try RoleFolder.read(path, passphrase: passphrase)
    }

    /// The daemon beside which the relay runs, where there is one.
    private static func oxend(_ settings: Settings) throws(Failure) -> OxendAddress? {
        do throws(SettingProblems) {
            return try settings.read("relay.oxend", SettingText.oxendAddress)
        } catch {
            throw Failure.of(error)
        }
    }

    func start(onReady: @escaping () -> Void) { relay.start() }

    func finish(_ completion: @escaping () -> Void) { relay.drain(completion: completion) }
    func close(_ completion: @escaping () -> Void) { relay.close(completion: completion) }

    /// Books what has passed to the month, and rests when that is used up.
    func everySecond() {
        account.note(relay.bytesPassed, at: currentTime().seconds)
        if account.isUsedUp != relay.isResting { relay.isResting = account.isUsedUp }
    }

    func report() -> StatusReport {
        var report = StatusReport(relay.status, daemon?.status)
        report.registry = relay.ledger.map { ledger in
            var report = RegistryReport(of: node, in: ledger.state, now: currentTime().seconds)
            if ledger.isAuthority { report.clockRefusals = ledger.clockRefusals }
            return report
        }
        report.accounting = account.report
        return report
    }
    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply? {
        if command == .check { return .report(checkReport()) }
        if let reply = ledger?.answer(command, argument) { return reply }
        guard command == .nodes else { return nil }
        let report = NodesReport(relay.trustedSnapshot, relay.nodeTests)
        guard let argument else { return .report(report) }
        guard let node = report.nodes.first(where: { $0.id == argument }) else {
            return .refusal("the registry has no node \(argument.prefix(80))")
        }
        return .report(
            NodesReport(height: report.height, time: report.time, fullStake: 0, pool: 0, nodes: [node]))
    }

    /// Whether the relay can serve; to be asked for again until it is done.
    func checkReport() -> CheckReport {
        let found = relay.check()
        let count = ProcessLimits.descriptors
        let files = CheckItem(
            "files", count >= Self.leastDescriptors ? .good : .bad,
            count >= Self.leastDescriptors
                ? "\(count) descriptors may be open"
                : "only \(count) descriptors may be open; allow \(Self.leastDescriptors) at least (ulimit -n, LimitNOFILE=)"
        )
        return CheckReport(
            items: (found.items + [files]).map {
                .init(name: $0.name, verdict: $0.verdict.rawValue, text: $0.text)
            }, done: found.isDone)
    }

    /// What a relay needs besides what an exit's streams take.
    private static let leastDescriptors = 256

    func prepare(_ settings: Settings) throws(Failure) -> PreparedChange {
        let configuration = try RelayConfiguration(settings)
        return PreparedChange { [relay, account] in
            relay.apply(configuration)
            account.limit(settings)
        } abandon: {
            // Nothing was opened.
        }
    }
}

/// Tells the daemon beside a relay what the relay finds.
private final class OxendObserver: RelayObserver {
    private let daemon: OxendDaemon

    init(_ daemon: OxendDaemon) { self.daemon = daemon }

    func problem(_ text: String?) { daemon.setProblem(text) }
    func tested(_ node: NodeID, passed: Bool) { daemon.report(node, passed: passed) }
}

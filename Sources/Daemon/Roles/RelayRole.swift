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
final class RelayRole: ProcessRole {
    let kind = StatusReport.Role.relay
    let relay: Relay
    private let daemon: OxendDaemon?
    private let ledger: LedgerAnswers?
    let account: MonthAccount
    /// The account's failure that the log has.
    private var toldFailure: String?
    private let log: Logger
    /// The node's id.
    let node: NodeID

    /// A relay with `settings`; its sockets are open when this returns.
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
                observer: daemon.map { OxendObserver($0) }, store: store, log: log,
                sentence: \.sentence)
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

    /// The authority's key; nil if the node is not an authority.
    private static func authority(_ settings: Settings, _ network: NetworkFile) throws(Failure) -> SigningKey? {
        guard let path = settings.text("relay.authority") else { return nil }
        guard network.ledger != nil else {
            throw Failure(.configuration, "--authority only takes effect in a network with a ledger")
        }
        let passphrase = try PassphraseFile.read(settings.text("relay.authority_passphrase_file"))
        return try RoleFolder.read(path, passphrase: passphrase)
    }

    /// The relay's oxend daemon, if there is one.
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

    /// Adds the traffic to the month's account, and stops serving when the month's limit is reached.
    func everySecond() {
        account.note(relay.bytesPassed, at: currentTime().seconds)
        if account.failure?.message != toldFailure {
            toldFailure = account.failure?.message
            if let toldFailure {
                log.warning("the month's bytes cannot be kept, and count from a restart only: \(toldFailure)")
            } else {
                log.notice("the month's bytes are kept again")
            }
        }
        relay.pace(account.pace(at: currentTime().seconds) ?? 0)
        if account.isUsedUp != relay.isResting { relay.isResting = account.isUsedUp }
    }

    var runs: Bool { relay.runs }

    func report() -> StatusReport {
        var report = StatusReport(relay.status, daemon?.status)
        if let ledger = relay.ledger {
            report.add(ledger.state, of: node, now: currentTime().seconds)
            if ledger.isAuthority { report.clockRefusals = ledger.clockRefusals }
        }
        report.monthStart = account.since
        report.monthBytes = account.bytes
        report.monthLimit = account.limit
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

    /// The results of the checks whether the relay can serve; call again until they are complete.
    func checkReport() -> CheckReport {
        let found = relay.check()
        let count = ProcessLimits.descriptors
        let hasEnough = count >= Self.leastDescriptors
        let files = CheckReport.Item(
            name: "files", verdict: (hasEnough ? CheckItem.Outcome.good : .bad).rawValue,
            text: hasEnough
                ? "\(count) descriptors may be open"
                : "only \(count) descriptors may be open; allow at least \(Self.leastDescriptors) (ulimit -n, LimitNOFILE=)"
        )
        let items = found.items.map {
            CheckReport.Item(name: $0.finding.name, verdict: $0.outcome.rawValue, text: $0.finding.sentence)
        }
        return CheckReport(items: items + [files], done: found.isDone)
    }

    /// The descriptors that a relay needs in addition to an exit's streams.
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

/// Reports the relay's findings to the daemon beside it.
private final class OxendObserver: RelayObserver {
    private let daemon: OxendDaemon

    init(_ daemon: OxendDaemon) { self.daemon = daemon }

    func problem(_ problem: RelayProblem?) { daemon.setProblem(problem?.sentence) }
    func tested(_ node: NodeID, passed: Bool) { daemon.report(node, passed: passed) }
    var repeatInterval: TimeSpan { daemon.configuration.failureInterval }
}

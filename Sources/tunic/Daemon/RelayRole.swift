internal import BuildInfo
internal import Control
internal import Directory
internal import EventLoop
internal import Logging
internal import OnionCrypto
internal import Oxen
internal import Relay
internal import Settings
internal import Store
internal import Wire

/// The relay of a process.
final class RelayRole: Role {
    let kind = StatusReport.Role.relay
    private let relay: Relay
    private let daemon: OxendDaemon?
    private let ledger: LedgerAnswers?
    private let account: MonthAccount
    private let log: Logger
    var onReady: (() -> Void)?
    /// Who it is.
    let node: NodeID

    /// A relay by `settings`; its sockets are open when this returns.
    init(
        on loop: Loop, _ settings: Settings, network: NetworkFile, folder: String, log: Logger
    ) throws(Failure) {
        self.log = log
        let configuration = try Self.configuration(settings)
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
                authority: try Self.authority(settings, network), registry: daemon, store: store, log: log)
        } catch {
            throw Failure.starting(error, option: "--listen")
        }
        ledger = relay.ledger.map { [relay] in
            LedgerAnswers($0, tests: { relay.nodeTests }, maintenance: { relay.maintenance($0) })
        }
        account = MonthAccount(folder: folder)
        account.limit(settings)
        if let daemon {
            relay.onProblem = { daemon.setProblem($0) }
            relay.onTestResult = { daemon.report($0, passed: $1) }
            try OxendRegistry.start(daemon)
        }
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
            return try settings.read("relay.oxend", oxendAddress)
        } catch {
            throw Failure.of(error)
        }
    }

    /// The least rate that may be asked for, in bytes a second.
    private static let leastRate: Int64 = 100_000

    /// The configuration that `settings` stand for.
    static func configuration(_ settings: Settings) throws(Failure) -> RelayConfiguration {
        do throws(SettingProblems) {
            let addresses = try settings.readList("relay.listen", endpoint)
            let announced = try settings.readList("relay.public", announcedEndpoint)
            func fault(_ key: String, _ message: String) -> SettingProblems {
                SettingProblems([settings.problem(key, message)])
            }
            guard !addresses.isEmpty else {
                throw fault(
                    "relay.listen", "a relay needs --listen, or 'listen' under [relay]: the UDP address to listen at")
            }
            for (key, endpoints) in [("relay.listen", addresses), ("relay.public", announced)] {
                for isIPv4 in [true, false] where endpoints.count(where: { $0.address.isIPv4 == isIPv4 }) > 1 {
                    throw fault(key, "names two \(isIPv4 ? "IPv4" : "IPv6") addresses; give one of each family")
                }
            }
            for other in announced where !addresses.contains(where: { $0.address.isIPv4 == other.address.isIPv4 }) {
                let family = other.address.isIPv4 ? ("IPv4", "0.0.0.0") : ("IPv6", "[::]")
                throw fault(
                    "relay.public",
                    "names \(other), but there is no \(family.0) address to listen at; "
                        + "add one, such as --listen \(family.1):\(other.port)")
            }
            if announced.isEmpty, let all = addresses.first(where: \.address.isUnspecified) {
                throw fault(
                    "relay.listen",
                    "\(all) is every address of this machine; say with --public, or 'public' under [relay], which one "
                        + "others send to")
            }
            var configuration = RelayConfiguration(listen: addresses)
            configuration.announced = announced
            configuration.isExit = settings.boolean("relay.exit")
            configuration.exitAllowed = try settings.readList("relay.exit_allow", addressRange)
            configuration.registryFile = settings.text("relay.registry")
            configuration.exitRules = try settings.readList("relay.exit_policy", exitRules).flatMap(\.self)
            configuration.country = try settings.read("relay.country", country)
            configuration.rate = settings.integer("relay.rate") ?? 0
            configuration.burst = settings.integer("relay.burst") ?? 0
            if configuration.rate != 0, configuration.rate < Self.leastRate {
                throw fault("relay.rate", "links need \(Self.leastRate / 1000) kB a second at the least")
            }
            configuration.drainLimit = .seconds(settings.integer("relay.drain") ?? 30)
            let resolvers = try settings.readList("relay.exit_resolver", nameServer)
            if !resolvers.isEmpty {
                guard configuration.isExit else {
                    throw fault("relay.exit_resolver", "has a meaning with --exit, or 'exit = true', only")
                }
                configuration.exitResolvers = resolvers
            }
            if !configuration.isExit, settings.isSet("relay.exit_allow"), !configuration.exitAllowed.isEmpty {
                throw fault("relay.exit_allow", "has a meaning with --exit, or 'exit = true', only")
            }
            if !configuration.isExit, !configuration.exitRules.isEmpty {
                throw fault("relay.exit_policy", "has a meaning with --exit, or 'exit = true', only")
            }
            return configuration
        } catch {
            throw Failure.of(error)
        }
    }

    func start() {
        relay.start()
        onReady?()
    }

    func finish(_ completion: @escaping () -> Void) { relay.drain(completion: completion) }
    func close(_ completion: @escaping () -> Void) { relay.close(completion: completion) }

    /// Books what has passed to the month, and rests when that is used up.
    func everySecond() {
        account.note(relay.bytesPassed)
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
        let configuration = try Self.configuration(settings)
        return PreparedChange { [relay, account] in
            relay.apply(configuration)
            account.limit(settings)
        }
    }
}

extension StatusReport {
    /// What a relay reports.
    init(_ status: RelayStatus, _ daemon: OxendStatus?) {
        self.init(role: .relay, version: versionAndCommit)
        ready = status.isReady
        problem = status.problem
        oxend = daemon.map(OxendReport.init)
        node = status.nodeID.description
        addresses = status.addresses.map(\.description)
        exit = status.isExit
        draining = status.isDraining
        links = status.links
        paths = status.paths
        sessions = status.sessions
        streams = status.streams
        associations = status.associations
        descriptors = status.descriptors
        snapshot = SnapshotReport(
            height: status.snapshot.height, digest: status.snapshot.digest, time: status.snapshot.time.seconds,
            nodes: status.snapshot.nodes, list: status.snapshot.list)
        total = .init(
            packetsIn: status.packetsIn, packetsOut: status.packetsOut, bytesIn: status.bytesIn,
            bytesOut: status.bytesOut)
        drops = status.drops
        builds = status.builds
        refusals = status.refusals
        watching = WatchingReport(status.watching)
    }
}

extension Failure {
    /// The failure of a role's start, which most often is its address.
    static func starting(_ error: any Error, option: String) -> Failure {
        if let failure = error as? Failure { return failure }
        if let error = error as? StoreError { return of(error) }
        if let error = error as? UVError {
            guard let address = error.address else { return Failure(.system, "cannot open what is needed (\(error))") }
            return listening(error, at: address, option: option)
        }
        return Failure(.configuration, "\(error)")
    }
}

internal import Process
internal import Relay
internal import Settings
internal import Wire

extension RelayConfiguration {
    /// The smallest rate limit, in bytes a second.
    private static let leastRate: Int64 = 100_000
    /// The smallest quota of the swarm store, in bytes.
    private static let leastQuota: UInt64 = 100_000_000

    /// The configuration in `settings`.
    init(_ settings: Settings) throws(Failure) {
        do throws(SettingProblems) {
            let (listen, announced) = try Self.addresses(settings)
            self.init(listen: listen)
            self.announced = announced
            isExit = settings.boolean("relay.exit")
            exitAllowed = try settings.readList("relay.exit_allow", SettingText.addressRange)
            registryFile = settings.text("relay.registry")
            exitRules = try settings.readList("relay.exit_policy", SettingText.exitRules).flatMap(\.self)
            country = try settings.read("relay.country", SettingText.country)
            workers = Int(settings.number("relay.workers"))
            rate = settings.number("relay.rate")
            burst = settings.number("relay.burst")
            if rate != 0, rate < Self.leastRate {
                throw Self.fault(
                    settings, "relay.rate", "links need at least \(Self.leastRate / 1000) kB a second")
            }
            storeQuota = UInt64(clamping: settings.number("relay.store_quota"))
            storeRecovery = UInt64(clamping: settings.number("relay.store_recovery"))
            if storeQuota < Self.leastQuota {
                throw Self.fault(
                    settings, "relay.store_quota", "a replica needs at least \(Self.leastQuota / 1_000_000) MB")
            }
            drainLimit = .seconds(settings.number("relay.drain"))
            try takeResolvers(settings)
        } catch {
            throw Failure.of(error)
        }
    }

    private static func fault(_ settings: Settings, _ key: String, _ message: String) -> SettingProblems {
        SettingProblems([settings.problem(key, message)])
    }

    /// The listen addresses, and the announced addresses if they differ; at most one of each family.
    private static func addresses(
        _ settings: Settings
    ) throws(SettingProblems) -> (listen: [Endpoint], announced: [Endpoint]) {
        let listen = try settings.readList("relay.listen", SettingText.endpoint)
        let announced = try settings.readList("relay.public", SettingText.announcedEndpoint)
        guard !listen.isEmpty else {
            throw fault(
                settings, "relay.listen",
                "a relay needs --listen, or 'listen' under [relay]: the UDP address to listen at")
        }
        for (key, endpoints) in [("relay.listen", listen), ("relay.public", announced)] {
            for isIPv4 in [true, false] where endpoints.count(where: { $0.address.isIPv4 == isIPv4 }) > 1 {
                throw fault(
                    settings, key, "names two \(isIPv4 ? "IPv4" : "IPv6") addresses; give one of each family")
            }
        }
        for other in announced where !listen.contains(where: { $0.address.isIPv4 == other.address.isIPv4 }) {
            let family = other.address.isIPv4 ? ("IPv4", "0.0.0.0") : ("IPv6", "[::]")
            throw fault(
                settings, "relay.public",
                "names \(other), but there is no \(family.0) address to listen at; "
                    + "add one, such as --listen \(family.1):\(other.port)")
        }
        if announced.isEmpty, let all = listen.first(where: \.address.isUnspecified) {
            throw fault(
                settings, "relay.listen",
                "\(all) is every address of this machine; say with --public, or 'public' under [relay], which one "
                    + "others send to")
        }
        return (listen, announced)
    }

    /// Reads the name servers of an exit; refuses settings for exits if the relay is not an exit.
    private mutating func takeResolvers(_ settings: Settings) throws(SettingProblems) {
        let resolvers = try settings.readList("relay.exit_resolver", SettingText.nameServer)
        if !resolvers.isEmpty { exitResolvers = resolvers }
        guard !isExit else { return }
        let given = [
            ("relay.exit_resolver", resolvers.isEmpty), ("relay.exit_allow", exitAllowed.isEmpty),
            ("relay.exit_policy", exitRules.isEmpty),
        ]
        for (key, isEmpty) in given where !isEmpty {
            throw Self.fault(settings, key, "only takes effect with --exit or 'exit = true'")
        }
    }
}

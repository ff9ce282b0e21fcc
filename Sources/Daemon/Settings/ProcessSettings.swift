internal import Client
internal import Control
internal import Directory
internal import Process
internal import Relay
internal import Settings
internal import Wire

/// The settings that all roles of a process share, checked.
struct ProcessSettings {
    /// The roles, in the order in which they start.
    let roles: [StatusReport.Role]
    let network: String
    let controlPath: String
    /// The data folder of the process.
    let data: String
    /// Whether the data folder is the default one, which is created if it is missing.
    private let isStandard: Bool

    /// Checks `settings` for a process of `roles`; if that is empty, for the roles whose tables the file has.
    ///
    /// `folder` is the data folder if none is named.
    init(
        _ settings: Settings, roles wanted: [StatusReport.Role], folder: String? = nil
    ) throws(Failure) {
        let named = wanted.isEmpty ? Self.roles(settings) : wanted
        guard !named.isEmpty else {
            throw Failure(
                .configuration,
                "the configuration has neither a table [client] nor [relay], so there is nothing to run; "
                    + "'tunic config default' shows both")
        }
        roles = named
        let help = wanted.first.map { " (see 'tunic \($0.rawValue) --help')" } ?? ""
        guard let network = settings.text("network") ?? Self.joined(named) else {
            throw Failure(
                .usage,
                "no network file: name it with \(wanted.isEmpty ? "" : "--network or with ")'network' in the "
                    + "configuration file, or keep it with 'tunic join FILE'\(help)")
        }
        self.network = network
        if let data = settings.text("data") ?? Files.firstFolder("STATE_DIRECTORY") ?? folder {
            // If a unit has its own user, systemd's folder is a link; its target is checked.
            self.data = Files.resolved(data)
            isStandard = false
        } else if roles == [.client] {
            data = try ClientFolder.defaultPath()
            isStandard = true
        } else {
            throw Failure(
                .usage,
                "no data folder: name it with \(wanted.isEmpty ? "" : "--data or with ")'data' in the configuration "
                    + "file\(help)")
        }
        let runtime = Files.firstFolder("RUNTIME_DIRECTORY")
        controlPath = settings.text("control") ?? "\(runtime ?? data)/\(ClientFolder.socketName)"
        guard controlPath.utf8.count <= ControlSocket.longestPath else {
            throw Failure.of(ControlError.pathTooLong(controlPath.utf8.count), controlPath)
        }
    }

    /// The network file stored by 'tunic join', for a client that uses it; nil if there is none.
    private static func joined(_ roles: [StatusReport.Role]) -> String? {
        guard roles == [.client] else { return nil }
        // The user's own file comes before the one that root stores for the machine. A user without a home has none.
        return [try? NetworkFile.standardPath(), "/etc/tunic/network.json"].compactMap { $0 }.first { Files.exists($0) }
    }

    /// The roles that the file, the environment or options configure.
    static func roles(_ settings: Settings) -> [StatusReport.Role] {
        [StatusReport.Role.relay, .client].filter { role in
            settings.tables[role.rawValue] != nil
                || SettingsCatalog.keys.contains { $0.table == role.rawValue && settings.isSet($0.path) }
        }
    }

    /// Throws if a role cannot use `settings`.
    static func check(_ settings: Settings, _ role: StatusReport.Role) throws(Failure) {
        switch role {
        case .client: _ = try ClientConfiguration(settings)
        case .relay: _ = try RelayConfiguration(settings)
        }
    }

    /// Throws if the process as a whole cannot use `settings`.
    static func checkProcess(_ settings: Settings, roles: [StatusReport.Role]) throws(Failure) {
        _ = try ControlGroup(settings)
        // The use of each TCP address.
        var taken: [Endpoint: String] = [:]
        if roles.contains(.client) {
            let client = try ClientConfiguration(settings)
            for endpoint in client.dns { taken[endpoint] = "client.dns" }
            for endpoint in client.socks.compactMap(\.endpoint) { taken[endpoint] = "client.socks" }
        }
        do throws(SettingProblems) {
            for key in ["web.listen", "metrics.listen"] {
                // With the default address, another port is found.
                guard settings.isSet(key), let endpoint = try settings.read(key, SettingText.localAddress) ?? nil,
                    endpoint.port != 0
                else { continue }
                if let other = taken[endpoint] {
                    throw SettingProblems([
                        settings.problem(key, "\(endpoint) is also used by \(other); give each its own address")
                    ])
                }
                taken[endpoint] = key
            }
        } catch {
            throw Failure.of(error)
        }
    }

    /// The data folder of a role: a client in a relay's process has its own.
    func folder(of role: StatusReport.Role) throws(Failure) -> String {
        guard role == .client else { return data }
        guard roles.count > 1 else {
            if isStandard { try Files.makeFolders(data) }
            return data
        }
        let folder = "\(data)/client"
        try Files.makeFolders(folder)
        return folder
    }
}

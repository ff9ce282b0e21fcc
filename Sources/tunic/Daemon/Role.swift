internal import Control
internal import Directory
internal import Settings

/// A client or a relay, as the process around it sees it.
protocol Role: AnyObject {
    /// What it is.
    var kind: StatusReport.Role { get }
    /// Called when it has become ready.
    var onReady: (() -> Void)? { get set }
    /// Begins to work.
    func start()
    /// Ends gracefully, then calls back.
    func finish(_ completion: @escaping () -> Void)
    /// Ends as fast as possible, then calls back.
    func close(_ completion: @escaping () -> Void)
    /// Does what is due; called once a second.
    func everySecond()
    /// What it is doing, without the rates and the uptime. Changes nothing.
    func report() -> StatusReport
    /// Answers what only this role can answer; nil for the rest.
    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply?
    /// Gets ready to go by other settings, so that committing cannot fail.
    func prepare(_ settings: Settings) throws(Failure) -> PreparedChange
}

extension Role {
    /// Nothing is due.
    func everySecond() {}
}

/// A change that only needs to be done, or dropped.
struct PreparedChange {
    /// Does it.
    var commit: () -> Void = {}
    /// Lets go of what was opened for it.
    var abandon: () -> Void = {}
}

/// The settings that all roles of a process share, looked at.
struct ProcessSettings {
    /// The roles, in the order in which they start.
    let roles: [StatusReport.Role]
    let network: String
    let controlPath: String
    /// The data folder of the process.
    let data: String
    /// Whether the data folder is the one where none is named, which is made where it is missing.
    private let isStandard: Bool

    /// Looks at `settings` for a process of `roles`; where that is empty, of those that the file has tables for.
    ///
    /// `folder` stands for the data folder where none is named.
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
            // Where a unit has a user of its own, systemd's folder is a link to it; what it leads to is checked.
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

    /// The network file that 'tunic join' has kept, for a client that is to take it; nil where there is none.
    private static func joined(_ roles: [StatusReport.Role]) -> String? {
        guard roles == [.client] else { return nil }
        // A user's own comes before the one that root keeps for the machine.
        return [try? NetworkFile.standardPath(), "/etc/tunic/network.json"].compactMap { $0 }.first { Files.exists($0) }
    }

    /// The roles that the file, the environment or options speak of.
    static func roles(_ settings: Settings) -> [StatusReport.Role] {
        [StatusReport.Role.relay, .client].filter { role in
            settings.tables[role.rawValue] != nil
                || SettingsCatalog.keys.contains { $0.table == role.rawValue && settings.isSet($0.path) }
        }
    }

    /// The data folder of a role: a client beside a relay has its own.
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

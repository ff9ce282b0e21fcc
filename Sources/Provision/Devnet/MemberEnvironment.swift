internal import Process

/// The environment of a node or client, without the user's own configuration.
enum MemberEnvironment {
    /// The variables by which a service manager passes resources to this process.
    private static let handed: Set<String> = [
        "CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET",
        "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
    ]

    /// This process's environment as `NAME=value`, without settings and with an empty configuration file.
    static var variables: [String] { variables(of: ProcessEnvironment.all) }

    /// The same for a process with the environment `own`.
    static func variables(of own: [String: String]) -> [String] {
        var variables = own.filter { name, _ in !name.hasPrefix("TUNIC_") && !handed.contains(name) }
        variables["TUNIC_CONFIG"] = "/dev/null"
        return variables.map { "\($0)=\($1)" }
    }
}

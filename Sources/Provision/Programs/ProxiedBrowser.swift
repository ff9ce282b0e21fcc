internal import Process
internal import Web

/// A browser that `tunic exec` starts.
///
/// Browsers take few settings from the environment, and by default some of their requests, look-ups and UDP datagrams
/// bypass the proxy.
enum ProxiedBrowser {
    case firefox
    case chromium

    /// The browser whose program has this path; nil for any other program.
    init?(program: String) {
        let name = program.split(separator: "/").last ?? ""
        if name == "firefox" || name.hasPrefix("firefox-") {
            self = .firefox
        } else if ["chromium", "chrome", "google-chrome"].contains(name) || name.hasPrefix("chromium-")
            || name.hasPrefix("google-chrome-")
        {
            self = .chromium
        } else {
            return nil
        }
    }

    /// The name of the profile's folder.
    private var name: String {
        switch self {
        case .firefox: "firefox"
        case .chromium: "chromium"
        }
    }

    /// `command` with its own profile, which uses only the proxy of `setup`, and a notice for the user.
    ///
    /// If the command names a profile, that one is not changed. `folder` makes the folder of a profile with this name.
    func arrange(
        _ command: [String], by setup: ProxySetup, in folder: (String) throws(Failure) -> String
    ) throws(Failure) -> (command: [String], notice: String) {
        let (program, arguments) = (Array(command.prefix(1)), Array(command.dropFirst()))
        switch self {
        case .firefox:
            guard !arguments.contains(where: Self.namesProfile) else {
                return (command, "firefox has the profile that you named, whose settings decide what it sends directly")
            }
            let profile = try folder(name)
            try Files.replace("\(profile)/user.js", Array("\(setup.firefoxPreferences)\n".utf8), mode: 0o600)
            return (
                program + ["--no-remote", "--profile", profile] + arguments,
                "firefox has a profile of its own, \(profile), which uses only the proxy at \(setup.address)"
            )
        case .chromium:
            // The last of two equal options counts.
            guard !arguments.contains(where: { $0.hasPrefix("--user-data-dir") }) else {
                return (
                    program + setup.chromiumOptions + arguments,
                    "chromium has the profile that you named; if it runs already, it does not use the proxy at "
                        + setup.address
                )
            }
            let profile = try folder(name)
            return (
                program + setup.chromiumOptions + ["--user-data-dir=\(profile)"] + arguments,
                "chromium has a profile of its own, \(profile), which uses only the proxy at \(setup.address)"
            )
        }
    }

    /// Whether an argument makes Firefox use a named profile; it has one dash or two, in upper or lower case.
    private static func namesProfile(_ argument: String) -> Bool {
        guard argument.hasPrefix("-") else { return false }
        let option = argument.drop { $0 == "-" }.prefix { $0 != "=" }.lowercased()
        return ["p", "profile", "profilemanager", "createprofile"].contains(option)
    }

    /// The folder of a profile, for this user only: in the client's data folder, or a temporary one without a home.
    static func folder(_ name: String) throws(Failure) -> String {
        guard let state = try? ClientFolder.defaultPath() else { return try Files.makeTemporaryFolder("tunic-\(name)") }
        let path = "\(state)/\(name)"
        try Files.makeFolders(path)
        return path
    }
}

internal import Process
internal import Web

/// A browser that `tunic exec` starts.
///
/// Browsers take few settings from the environment, and by default some of their requests, look-ups and UDP datagrams
/// bypass the proxy.
enum ProxiedBrowser {
    /// Firefox, or a browser made from it, with its name.
    case firefox(String)
    /// Chromium, or a browser made from it, with its name.
    case chromium(String)

    /// The names of browsers with Firefox' options and settings; a program may have a dash and more behind the name.
    private static let likeFirefox = ["firefox", "librewolf", "waterfox"]
    /// The same for Chromium.
    private static let likeChromium = [
        "chromium", "chrome", "google-chrome", "brave", "microsoft-edge", "opera", "vivaldi",
    ]
    /// Programs that pass an address to the user's browser, which may run already.
    private static let openers = [
        "xdg-open", "x-www-browser", "gnome-www-browser", "www-browser", "sensible-browser", "exo-open", "gio",
        "gvfs-open", "kde-open", "kde-open5",
    ]

    private static func name(of program: String) -> String { program.split(separator: "/").last.map(String.init) ?? "" }

    /// The browser whose program has this path; nil for any other program.
    init?(program: String) {
        let name = Self.name(of: program)
        let isIt = { (browser: String) in name == browser || name.hasPrefix("\(browser)-") }
        if let browser = Self.likeFirefox.first(where: isIt) {
            self = .firefox(browser)
        } else if let browser = Self.likeChromium.first(where: isIt) {
            self = .chromium(browser)
        } else {
            return nil
        }
    }

    /// Throws if the program with this path would pass an address to a browser that does not use the proxy.
    static func check(program: String) throws(Failure) {
        guard openers.contains(name(of: program)) else { return }
        throw Failure(
            .usage,
            "\(program) can pass an address to a browser that runs already, without the proxy; name the browser: tunic exec -- "
                + "firefox")
    }

    /// `command` with its own profile, which uses only the proxy of `setup`, and a notice for the user.
    ///
    /// If the command names a profile, that one is not changed. `folder` makes the folder of a profile with this name.
    func arrange(
        _ command: [String], by setup: ProxySetup, in folder: (String) throws(Failure) -> String
    ) throws(Failure) -> (command: [String], notice: String) {
        let (program, arguments) = (Array(command.prefix(1)), Array(command.dropFirst()))
        switch self {
        case .firefox(let name):
            guard !arguments.contains(where: Self.namesProfile) else {
                return (command, "\(name) has the profile that you named, whose settings decide what it sends directly")
            }
            let profile = try folder(name)
            try Files.replace("\(profile)/user.js", Array("\(setup.firefoxPreferences)\n".utf8), mode: 0o600)
            return (
                program + ["--no-remote", "--profile", profile] + arguments,
                "\(name) has a profile of its own, \(profile), which uses only the proxy at \(setup.address)"
            )
        case .chromium(let name):
            // The last of two equal options counts.
            guard !arguments.contains(where: { $0.hasPrefix("--user-data-dir") }) else {
                return (
                    program + setup.chromiumOptions + arguments,
                    "\(name) has the profile that you named; if it runs already, it does not use the proxy at "
                        + setup.address
                )
            }
            let profile = try folder(name)
            return (
                program + setup.chromiumOptions + ["--user-data-dir=\(profile)"] + arguments,
                "\(name) has a profile of its own, \(profile), which uses only the proxy at \(setup.address)"
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

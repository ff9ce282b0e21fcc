internal import Glibc
package import Process
package import Settings

/// The sources of a process's settings, so that they can be read again.
package struct SettingsSource {
    /// An option of the command line that sets a setting.
    package enum Given {
        /// `--hops 3`.
        case text(option: String, key: String, text: String)
        /// An option that may be repeated.
        case list(option: String, key: String, list: [String])
    }

    /// The largest configuration file in bytes.
    static let largestFile = 1 << 20

    /// The file; nil if there is none.
    package let file: String?
    /// The environment's variables; only those that begin with `TUNIC_` and name a key are used.
    private let environment: [String: String]
    /// The options of the command line.
    package var given: [Given] = []

    /// The settings of `file`, or if nil of the default file, and of `environment`.
    package init(file: String?, environment: [String: String]) {
        self.file = file ?? Self.standardFile()
        self.environment = environment
    }

    /// The default file, nil if there is none: the file of `TUNIC_CONFIG`, or else the first `tunic.toml` that exists
    /// in systemd's configuration folders, in the user's and, for root, in /etc/tunic.
    static func standardFile() -> String? {
        if let named = Files.environment("TUNIC_CONFIG") { return named }
        var places: [String] = []
        if let folders = Files.environment("CONFIGURATION_DIRECTORY") {
            places += folders.split(separator: ":").map { "\($0)/tunic.toml" }
        }
        if let folder = Files.environment("XDG_CONFIG_HOME"), folder.hasPrefix("/") {
            places.append("\(folder)/tunic/tunic.toml")
        } else if let home = Files.environment("HOME"), home.hasPrefix("/") {
            places.append("\(home)/.config/tunic/tunic.toml")
        }
        if geteuid() == 0 { places.append("/etc/tunic/tunic.toml") }
        return places.first(where: Files.exists)
    }

    /// Whether an option of the command line sets `key`.
    func names(_ key: String) -> Bool {
        given.contains { option in
            switch option {
            case .text(_, key, _), .list(_, key, _): true
            case .text, .list: false
            }
        }
    }

    /// Reads file, environment and options, in that order.
    package func load() throws(Failure) -> Settings {
        do throws(SettingProblems) { return try loadAll() } catch { throw Failure.of(error) }
    }

    /// Reads the same sources; throws all problems.
    package func loadAll() throws(SettingProblems) -> Settings {
        var settings = Settings()
        if let file { try settings.take(file: file, try text(of: file)) }
        try settings.take(environment: environment)
        for option in given {
            switch option {
            case .text(let option, let key, let text): try settings.take(option: option, key, text)
            case .list(let option, let key, let list): settings.take(option: option, key, list: list)
            }
        }
        return settings
    }

    private func text(of file: String) throws(SettingProblems) -> String {
        do throws(Failure) {
            let bytes = try Files.read(file, limit: Self.largestFile)
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw Failure(.data, "\(file) is not text in UTF-8")
            }
            return text
        } catch {
            throw SettingProblems([SettingProblem(.option("--config"), "", error.message)])
        }
    }
}

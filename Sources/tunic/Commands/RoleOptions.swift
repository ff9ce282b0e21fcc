internal import ArgumentParser
internal import Daemon
internal import Glibc
internal import Logging

/// The options common to clients and relays; each sets a setting.
struct RoleOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The network file.", valueName: "file"))
    var network: String?

    @Option(help: ArgumentHelp("The control socket (default: control.sock in the data folder).", valueName: "path"))
    var control: String?

    @OptionGroup var process: ProcessOptions
    @OptionGroup var logging: LogOptions
    @OptionGroup var settings: SettingsOptions

    /// The sources of settings, with these options.
    var source: SettingsSource {
        var source = settings.source
        source.add("--network", "network", network)
        source.add("--control", "control", control)
        source.add("--log-level", "log.level", logging.level?.rawValue)
        return source
    }
}

/// The option of every process that is started by another one.
struct ProcessOptions: ParsableArguments {
    @Option(
        name: .customLong("parent-fd"),
        help: ArgumentHelp("A pipe from the parent process, at whose end this process ends.", visibility: .hidden))
    var parent: Int32?

    mutating func validate() throws {
        if let parent, parent < 3 || fcntl(parent, F_GETFD) < 0 {
            throw ValidationError("--parent-fd \(parent) is not an open descriptor")
        }
    }
}

extension SettingsSource {
    /// Adds an option with one value, if it was given.
    mutating func add(_ option: String, _ key: String, _ text: String?) {
        guard let text else { return }
        given.append(.text(option: "\(option) \(text)", key: key, text: text))
    }

    /// Adds an option that may be repeated, if it was given.
    mutating func add(_ option: String, _ key: String, _ list: [String]) {
        guard !list.isEmpty else { return }
        given.append(.list(option: option, key: key, list: list))
    }

    /// Adds a flag, if it was given.
    mutating func add(_ option: String, _ key: String, _ isGiven: Bool) {
        if isGiven { given.append(.text(option: option, key: key, text: "true")) }
    }
}

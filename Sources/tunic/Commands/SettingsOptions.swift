internal import ArgumentParser
internal import Daemon
internal import Process

/// The options for the sources of settings.
struct SettingsOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            The configuration file (default: $TUNIC_CONFIG, else tunic.toml in systemd's configuration folder or in tunic in \
            $XDG_CONFIG_HOME or ~/.config, and for root also /etc/tunic/tunic.toml; the first that is there).
            """,
            valueName: "file"))
    var config: String?

    @Option(
        name: [.customShort("o"), .customLong("set")],
        help: ArgumentHelp(
            "A setting, as in the configuration file, such as client.hops=2; may be repeated.",
            valueName: "key=value"),
        transform: { text in
            guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
                throw ValidationError("'\(text)' is not a setting, such as client.hops=2")
            }
            return Pair(key: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
        })
    var settings: [Pair] = []

    /// A key and the text of its value.
    struct Pair {
        var key: String
        var value: String
    }

    /// The sources of settings, with the values of `--set`.
    var source: SettingsSource { source(file: nil) }

    /// The same, with `file` if the file is named without its option.
    func source(file: String?) -> SettingsSource {
        var source = SettingsSource(file: file ?? config, environment: ProcessEnvironment.all)
        source.given = settings.map { .text(option: "--set \($0.key)", key: $0.key, text: $0.value) }
        return source
    }
}

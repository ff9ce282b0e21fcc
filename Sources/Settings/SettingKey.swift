/// One setting: its name, its kind and its documentation.
public struct SettingKey: Sendable {
    /// The kind of a setting's value.
    public enum Kind: Sendable, Equatable {
        /// One text.
        case text
        /// A list of texts, separated by semicolons in the environment.
        case list
        /// A whole number in a range.
        case integer(ClosedRange<Int64>)
        /// `true` or `false`.
        case boolean
        /// A time in a range of seconds: a number of seconds, or a text such as `"90s"`, `"15m"`, `"12h"`, `"30d"`.
        case duration(ClosedRange<Int64>)
        /// A number of bytes, or a text such as `"500 kB"`, `"10 MB"`, `"2 TB"` (powers of 1,000).
        case bytes
        /// One of these words.
        case choice([String])
    }

    /// The settings whose values are paths of files and folders.
    private static let paths: Set<String> = [
        "network", "data", "control", "relay.key", "relay.passphrase_file", "relay.authority",
        "relay.authority_passphrase_file", "relay.registry",
    ]

    /// Its path: `client.hops`.
    public let path: String
    /// The kind of its value.
    public let kind: Kind
    /// The default value, in configuration-file syntax; nil: none.
    public let byDefault: String?
    /// An example value in configuration-file syntax, for a key without a default.
    public let example: String
    /// Its documentation, in lines for the default file.
    public let documentation: [String]
    /// Whether a running process applies a change at SIGHUP.
    public let isReloadable: Bool

    /// A key; `example` is required if there is no default.
    public init(
        _ path: String, _ kind: Kind, byDefault: String? = nil, example: String = "", reloadable: Bool = false,
        _ documentation: String...
    ) {
        self.path = path
        self.kind = kind
        self.byDefault = byDefault
        self.example = byDefault ?? example
        self.documentation = documentation
        isReloadable = reloadable
    }

    /// Whether its value is the path of a file or a folder.
    public var isPath: Bool { Self.paths.contains(path) }
    /// The table that contains it; empty for the top.
    public var table: String { path.lastIndex(of: ".").map { String(path[..<$0]) } ?? "" }
    /// Its name within the table.
    public var name: String { path.split(separator: ".").last.map(String.init) ?? path }
    /// The environment variable that sets it: `TUNIC_CLIENT_HOPS`.
    public var variable: String { "TUNIC_" + path.replacing(".", with: "_").uppercased() }
}

/// The source of a setting's value.
public enum SettingOrigin: Sendable, Hashable, CustomStringConvertible {
    /// A line of a file.
    case file(String, line: Int)
    /// An environment variable.
    case environment(String)
    /// An option of the command line.
    case option(String)
    /// The default value.
    case byDefault

    /// The source as people look for it: `tunic.toml:12`, `TUNIC_CLIENT_HOPS`, `--hops`.
    public var description: String {
        switch self {
        case .file(let path, let line): "\(path):\(line)"
        case .environment(let name): "the environment's \(name)"
        case .option(let name): name
        case .byDefault: "the default"
        }
    }
}

/// A problem with a setting: the place, the fault and the remedy.
public struct SettingProblem: Error, Sendable, Equatable, CustomStringConvertible {
    /// Where it was set.
    public let origin: SettingOrigin
    /// The key; empty if the problem is with the whole file.
    public let key: String
    /// The fault and the remedy, without a full stop.
    public let message: String

    /// A problem with the value of `key`.
    public init(_ origin: SettingOrigin, _ key: String, _ message: String) {
        self.origin = origin
        self.key = key
        self.message = message
    }

    /// One line: place, key, fault and remedy.
    public var description: String {
        let place = origin == .byDefault ? "" : "\(origin): "
        return key.isEmpty ? place + message : "\(place)\(key): \(message)"
    }
}

/// All problems of the settings; at least one.
public struct SettingProblems: Error, Sendable {
    /// The problems, in order of their places.
    public let all: [SettingProblem]

    /// These problems.
    public init(_ all: [SettingProblem]) { self.all = all }
}

/// Where a setting's value comes from.
public enum SettingOrigin: Sendable, Hashable, CustomStringConvertible {
    /// A line of a file.
    case file(String, line: Int)
    /// An environment variable.
    case environment(String)
    /// An option of the command line.
    case option(String)
    /// Nobody said anything.
    case byDefault

    /// The place as people look for it: `tunic.toml:12`, `TUNIC_CLIENT_HOPS`, `--hops`.
    public var description: String {
        switch self {
        case .file(let path, let line): "\(path):\(line)"
        case .environment(let name): "the environment's \(name)"
        case .option(let name): name
        case .byDefault: "the default"
        }
    }
}

/// What is wrong with a setting, where, and what to do.
public struct SettingProblem: Error, Sendable, Equatable, CustomStringConvertible {
    /// Where it was set.
    public let origin: SettingOrigin
    /// Which key, empty where the file as a whole is meant.
    public let key: String
    /// What is wrong and what to do, without a full stop.
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

/// All that is wrong, at least one problem.
public struct SettingProblems: Error, Sendable {
    /// The problems, in the order in which they stand.
    public let all: [SettingProblem]

    /// These problems.
    public init(_ all: [SettingProblem]) { self.all = all }
}

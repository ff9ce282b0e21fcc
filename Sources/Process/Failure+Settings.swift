package import Settings

extension Failure {
    /// The first problem of the settings, and the number of further ones.
    package static func of(_ problems: SettingProblems) -> Failure {
        guard let first = problems.all.first else { return Failure(.configuration, "the settings make no sense") }
        let more = problems.all.count - 1
        let rest = more == 0 ? "" : " (and \(more) more: see 'tunic config check')"
        if first.origin == .byDefault { return Failure(.usage, first.message + rest, problem: first) }
        guard case .option(let option) = first.origin else {
            return Failure(.configuration, first.description + rest, problem: first)
        }
        let isFile = first.key.isEmpty && option == "--config"
        return Failure(
            isFile ? .noInput : .usage, isFile ? first.message + rest : "\(option): \(first.message)\(rest)",
            problem: first)
    }
}

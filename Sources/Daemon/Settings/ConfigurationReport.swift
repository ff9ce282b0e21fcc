package import Settings

/// The output of `tunic config check`.
package struct ConfigurationReport: Encodable {
    private struct Problem: Encodable {
        var place: String
        var key: String
        var message: String
    }

    private var file: String?
    private var problems: [Problem]

    /// The problems of a configuration; `file` is its file, nil if there is none.
    package init(file: String?, _ problems: [SettingProblem]) {
        self.file = file
        self.problems = problems.map { Problem(place: "\($0.origin)", key: $0.key, message: $0.message) }
    }

    /// The line about a problem for users.
    package static func text(of problem: SettingProblem) -> String {
        // If a file cannot be read, the message names it.
        let isFile = problem.key.isEmpty && problem.origin == .option("--config")
        return isFile ? problem.message : problem.description
    }
}

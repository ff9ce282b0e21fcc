/// Whether a relay can serve, with the results of each check.
public struct CheckReport: Codable, Equatable, Sendable {
    /// The result of one check.
    public struct Item: Codable, Equatable, Sendable {
        /// The subject of the check, in a word.
        public var name: String
        /// `good`, `bad`, `unknown` or `pending`.
        public var verdict: String
        /// The finding and the remedy.
        public var text: String

        /// The result of the check `name`.
        public init(name: String, verdict: String, text: String) {
            self.name = name
            self.verdict = verdict
            self.text = text
        }
    }

    /// Whether no check found a problem that keeps the relay from serving.
    public var serves: Bool
    /// Whether all checks are finished.
    public var done: Bool
    /// The results.
    public var items: [Item]

    /// A report of `items`.
    public init(items: [Item], done: Bool) {
        self.items = items
        self.done = done
        serves = done && items.allSatisfy { $0.verdict != "bad" } && items.contains { $0.verdict == "good" }
    }
}
